from __future__ import annotations

import asyncio
import contextlib
import io

import pytest

from hil.lease.errors import LeaseLostError
from hil.lease.guard import Guarded


class Held:
    """A lease that can be lost."""

    def __init__(self):
        self.is_lost = False
        self.deeds = 0

    def check(self):
        if self.is_lost:
            raise LeaseLostError("c3", 1, "kicked")

    @contextlib.contextmanager
    def holding(self):
        self.check()
        self.deeds += 1
        yield


class Line:
    """A port with a modem line, asynchronous or not."""

    def __init__(self):
        self.dtr = False
        self.sent = []
        self.lease = None

    def write(self, data):
        self.sent.append(data)

    def transfer(self, data):
        self.sent.append(data)
        return data[::-1]

    def read(self):
        self.lease.is_lost = True
        return b"late"

    async def send(self, data):
        self.sent.append(data)

    async def recv(self):
        return b"early"

    def close(self):
        self.sent.append("closed")


@pytest.fixture
def lease():
    return Held()


@pytest.fixture
def line(lease):
    line = Line()
    line.lease = lease
    return line


def test_writes_and_transfers_pass_while_the_lease_holds(lease, line):
    guarded = Guarded(line, lease)
    guarded.write(b"a")
    assert guarded.transfer(b"bc") == b"cb"
    assert (line.sent, lease.deeds) == ([b"a", b"bc"], 2)


def test_after_the_loss_nothing_is_written_read_or_set(lease, line):
    guarded = Guarded(line, lease)
    lease.is_lost = True
    for deed in (lambda: guarded.write(b""), guarded.read, lambda: guarded.transfer(b"")):
        with pytest.raises(LeaseLostError):
            deed()
    with pytest.raises(LeaseLostError):
        guarded.dtr = True
    assert (line.sent, line.dtr) == ([], False)


def test_what_was_read_while_the_lease_was_lost_is_not_given(lease, line):
    with pytest.raises(LeaseLostError):
        Guarded(line, lease).read()


def test_a_lost_stream_can_still_be_closed(lease, line):
    lease.is_lost = True
    with Guarded(line, lease):
        pass
    assert line.sent == ["closed"]


def test_a_setting_of_the_line_is_a_write(lease, line):
    Guarded(line, lease).dtr = True
    assert (line.dtr, lease.deeds) == (True, 1)


def test_a_buffered_stream_keeps_nothing_back_that_would_get_out_unchecked(lease):
    raw = io.BytesIO()
    raw.close = lambda: None
    Guarded(io.BufferedWriter(raw), lease).write(b"at once")
    assert raw.getvalue() == b"at once"


def test_lines_come_one_by_one_until_the_loss(lease):
    lines = iter(Guarded(io.BytesIO(b"a\nb\n"), lease))
    assert next(lines) == b"a\n"
    lease.is_lost = True
    with pytest.raises(LeaseLostError):
        next(lines)


def test_an_asynchronous_port_is_guarded_as_well(lease, line):
    guarded = Guarded(line, lease)

    async def use():
        await guarded.send(b"x")
        assert await guarded.recv() == b"early"
        promised = guarded.send(b"y")
        lease.is_lost = True
        with pytest.raises(LeaseLostError):
            await promised

    asyncio.run(use())
    assert line.sent == [b"x"]
