from __future__ import annotations

import os

import pytest

from hil.sim.pty import Cable
from tests.waiting import heard


def test_the_name_stays_while_the_tty_behind_it_changes(tmp_path):
    cable = Cable(tmp_path / "node")
    assert not cable.is_plugged
    cable.plug()
    first = os.path.realpath(cable.path)
    assert first == cable.node
    keep = os.open(first, os.O_RDWR | os.O_NOCTTY)
    cable.unplug()
    assert not os.path.lexists(cable.path)
    cable.plug()
    assert os.path.realpath(cable.path) == cable.node != first
    os.close(keep)
    cable.unplug()


def test_bytes_pass_both_ways_unchanged(tmp_path):
    with Cable(tmp_path / "node") as cable:
        tty = os.open(cable.path, os.O_RDWR | os.O_NOCTTY)
        cable.send(bytes(range(256)))
        assert heard(lambda: os.read(tty, 4096), 256) == bytes(range(256))
        os.write(tty, bytes(range(256)))
        assert heard(cable.receive, 256) == bytes(range(256))
        assert cable.receive() == b""
        os.close(tty)


def test_who_holds_the_tty_of_a_pulled_cable_is_hung_up(tmp_path):
    with Cable(tmp_path / "node") as cable:
        tty = os.open(cable.path, os.O_RDWR | os.O_NOCTTY)
        cable.unplug()
        assert os.read(tty, 10) == b""
        with pytest.raises(OSError, match="Input/output error"):
            os.write(tty, b"x")
        os.close(tty)
        cable.send(b"into the air")
        assert cable.receive() == b""


def test_what_a_full_tty_cannot_hold_is_counted_as_lost(tmp_path):
    with Cable(tmp_path / "node") as cable:
        for _ in range(1000):
            cable.send(b"x" * 1000)
        assert 0 < cable.lost_bytes < 1_000_000


def test_a_cable_that_comes_back_elsewhere_is_another_tty_behind_the_same_name(tmp_path):
    with Cable(tmp_path / "node") as cable:
        for _ in range(3):
            before = cable.node
            cable.unplug()
            cable.plug(elsewhere=True)
            assert os.path.realpath(cable.path) == cable.node != before
