"""Orders to the devices of a rig, as lines of text, and what then happens on their wires."""

from __future__ import annotations

import contextlib
import itertools
import os

import pytest

from gateway.config import load_site
from gateway.profile.build import CompiledProfile
from gateway.profile.load import find_profile, load_profile
from gateway.schema.plan import values_of
from hil.sim.__main__ import site_text
from hil.sim.rig import Rig
from hil.sim.slcan import SlcanAdapter
from tests.waiting import until

NODE = CompiledProfile(load_profile(find_profile("cobs-node")))


@pytest.fixture
def rig(tmp_path):
    with Rig(tmp_path / "devices") as rig:
        rig.tick(0.0)
        yield rig


@pytest.fixture
def shared(tmp_path):
    with Rig(tmp_path / "devices", for_others=True) as rig:
        rig.tick(0.0)
        yield rig


def said_of(cable, is_enough, live=lambda: None):
    """Return what the node said last of each message, when `is_enough` says so; it may `live` meanwhile."""
    framer, said = NODE.framer(), {}

    def hear():
        live()
        with contextlib.suppress(BlockingIOError):
            for body in framer.feed(os.read(tty, 65536)):
                name = NODE.match(body, None)
                said[name] = values_of(NODE.messages[name], NODE.messages[name].decode(body))
        return is_enough(said)

    tty = os.open(cable.path, os.O_RDWR | os.O_NOCTTY | os.O_NONBLOCK)
    try:
        until(hear)  # the kernel hands it on when it comes to it
    finally:
        os.close(tty)
    return said


def tell_node(cable, percent):
    body = NODE.messages["set_valve"].encode({"counter": 1, "position": percent, "ramp": 0})
    tty = os.open(cable.path, os.O_RDWR | os.O_NOCTTY)
    os.write(tty, NODE.framer().encode(body))
    os.close(tty)


def test_a_device_behaves_as_it_is_told_and_is_good_again_without_words(rig):
    assert rig.obey("node behave condition=manual") == "ok"
    rig.tick(0.2)
    said_of(rig.node_cable, lambda said: "measurement" in said and said["measurement"]["mode"] == "manual")
    assert rig.obey("node behave") == "ok"
    rig.tick(0.4)
    good = said_of(rig.node_cable, lambda said: "measurement" in said and said["measurement"]["mode"] != "manual")
    assert good["measurement"]["mode"] == "holding"


def test_a_device_obeys_what_comes_over_its_wire(rig):
    tell_node(rig.node_cable, 60)
    times_s = (step / 50 for step in itertools.count(1))
    said = said_of(
        rig.node_cable,
        lambda said: "ack" in said and said["measurement"]["valve_position"] == 60,
        live=lambda: rig.tick(next(times_s)),
    )
    assert said["ack"]["result"] == "accepted"


def test_a_device_that_is_restarted_says_who_it_is_again(rig):
    said_of(rig.node_cable, lambda said: "identity" in said)
    assert rig.obey("node restart") == "ok"
    rig.tick(0.02)
    rig.tick(0.2)
    assert "identity" in said_of(rig.node_cable, lambda said: "identity" in said)


def heard(rig, tty, wanted):
    """Return what the devices said until it has `wanted` in it; the kernel hands both ways on when it comes to it."""
    data, times_s = b"", (step / 10 for step in itertools.count(2))

    def hear():
        nonlocal data
        rig.tick(next(times_s))
        data += tty.read(1000) or b""
        return wanted in data

    until(hear)
    return data


def test_a_device_vanishes_and_returns_behind_the_same_name(rig):
    before = rig.node_cable.node
    assert rig.obey("node vanish") == "ok"
    assert not os.path.lexists(rig.node_cable.path)
    rig.tick(1.0)
    assert rig.obey("node return elsewhere") == "ok"
    assert os.path.realpath(rig.node_cable.path) != before
    rig.tick(1.2)
    assert "measurement" in said_of(rig.node_cable, lambda said: "measurement" in said)


def test_a_motor_that_has_vanished_from_the_bus_neither_speaks_nor_hears(rig):
    import can

    with can.Bus(interface="virtual", channel=rig.channel) as bus:
        rig.tick(0.1)
        assert bus.recv(0) is not None
        assert rig.obey("pump vanish") == "ok"
        rig.tick(0.2)
        assert bus.recv(0) is None
        assert rig.obey("pump return") == "ok"
        rig.tick(0.3)
        assert bus.recv(0) is not None


def test_an_adapter_that_returns_has_its_channel_closed_until_it_is_opened(shared):
    assert shared.obey("pump vanish") == "ok"
    assert shared.obey("pump return") == "ok"
    with shared.motor_cable.path.open("r+b", buffering=0) as tty:
        os.set_blocking(tty.fileno(), False)
        shared.tick(0.1)
        assert tty.read(100) is None
        tty.write(b"S6\rO\r")
        assert heard(shared, tty, b"t2018").startswith(b"\r\rt2018")


def test_a_motor_behind_an_adapter_hears_what_the_host_sends(shared):
    motor = CompiledProfile(load_profile(find_profile("motor")))
    body = motor.messages["command"].encode({"TargetSpeed": 9, "Enable": "on", "Counter": 1, "Checksum": 0})
    adapter = SlcanAdapter()
    adapter.feed(b"O\r")
    with shared.motor_cable.path.open("r+b", buffering=0) as tty:
        os.set_blocking(tty.fileno(), False)
        tty.write(b"O\r" + adapter.line(0x200, body))
        assert b"t2028" in heard(shared, tty, b"t2028")  # an ack, though it says that the checksum is wrong


@pytest.mark.parametrize(
    ("line", "complaint"),
    [
        ("", "no device '' takes orders here; there are gps, node, pump"),
        ("tag restart", "no device 'tag' takes orders here"),
        ("node", "no order ''; behave, restart, vanish"),
        ("node fly", "no order 'fly'; behave, restart, vanish, return or return elsewhere"),
        ("node behave lazy", "no behaviour 'lazy'"),
        ("node behave condition=stall", "no condition 'stall' here; there are manual, blocked"),
        ("gps behave lies", "a GNSS receiver takes no orders"),
        ("pump return elsewhere", "a virtual bus has one name"),
    ],
)
def test_what_is_no_order_is_answered_with_why(rig, line, complaint):
    answer = rig.obey(line)
    assert answer.startswith(f"error: {complaint}")


def test_a_rig_leaves_nothing_behind(tmp_path):
    for for_others in (False, True):
        with Rig(tmp_path / "devices", for_others=for_others):
            assert (tmp_path / "devices").exists()
        assert list(tmp_path.iterdir()) == []


def test_the_site_file_of_a_rig_says_what_its_site_says(shared, tmp_path):
    path = tmp_path / "site.toml"
    path.write_text(site_text(shared.site(), tmp_path / "data"))
    site = load_site(path)
    assert site.devices == shared.site().devices
    assert site.gateway.data == str(tmp_path / "data")
