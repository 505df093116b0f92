"""The rig's disks: what a power cut may take from them, and that they speak NBD as QEMU does."""

from __future__ import annotations

import contextlib
import random
import socket
import struct

import pytest

from hil.kernel.disk import BLOCK_BYTES, SIZE_BYTES, Disk, DiskServer, Power
from hil.kernel.power import Cutter

OLD, NEW = b"o" * BLOCK_BYTES, b"n" * BLOCK_BYTES
LIMIT_S = 60.0


@pytest.fixture
def power():
    return Power(random.Random(1))


@pytest.fixture
def disk(tmp_path, power):
    disk = Disk(tmp_path / "disk", power)
    yield disk
    disk.close()


def flushed(disk, *blocks):
    """Have the old data of these blocks safe."""
    for block in blocks:
        disk.write(block * BLOCK_BYTES, OLD)
    disk.flush()


def data(disk, block):
    return disk.read(block * BLOCK_BYTES, BLOCK_BYTES)


def always():
    return True


def test_a_cut_takes_what_no_flush_covered(disk):
    flushed(disk, 0)
    disk.write(0, NEW)
    assert disk.forget(always) == (1, 1)
    assert data(disk, 0) == OLD


def test_a_cut_leaves_what_a_flush_covered(disk):
    flushed(disk, 0)
    assert disk.forget(always) == (0, 0)
    assert data(disk, 0) == OLD


def test_a_flush_of_one_disk_makes_nothing_safe_on_another(disk, tmp_path, power):
    other = Disk(tmp_path / "other", power)
    disk.write(0, NEW)
    other.flush()
    assert disk.forget(always) == (1, 1)
    other.close()


def test_a_block_written_twice_goes_back_to_what_was_safe(disk):
    flushed(disk, 3)
    disk.write(3 * BLOCK_BYTES, NEW)
    disk.write(3 * BLOCK_BYTES, b"x" * BLOCK_BYTES)
    disk.forget(always)
    assert data(disk, 3) == OLD


def test_every_block_that_a_write_touches_is_unsafe(disk):
    flushed(disk, 0, 1, 2)
    disk.write(BLOCK_BYTES - 512, NEW + NEW[:1024])
    assert disk.forget(always) == (3, 3)
    assert [data(disk, block) for block in range(3)] == [OLD] * 3


def test_a_cut_may_take_later_blocks_and_leave_earlier_ones(disk):
    flushed(disk, 0, 1)
    disk.write(BLOCK_BYTES, NEW)
    disk.write(0, NEW)
    fates = iter([True, False])
    assert disk.forget(lambda: next(fates)) == (2, 1)
    assert [data(disk, block) for block in range(2)] == [OLD, NEW]


def test_power_is_cut_with_the_write_that_was_named_and_not_before(disk, power):
    cuts = []
    power.cut_after(3, lambda: cuts.append(power.is_on))
    disk.write(0, NEW)
    disk.write(0, NEW)
    assert cuts == []
    with pytest.raises(ConnectionError):
        disk.write(0, NEW)
    assert cuts == [False]


@pytest.mark.parametrize(
    "use", [lambda disk: disk.read(0, 512), lambda disk: disk.write(0, b"x"), lambda disk: disk.flush()]
)
def test_without_power_a_disk_does_nothing(disk, power, use):
    power.cut_after(1, bool)
    with contextlib.suppress(ConnectionError):
        disk.write(0, NEW)
    with pytest.raises(ConnectionError, match="no power"):
        use(disk)


def test_what_was_safe_is_there_when_power_comes_again(disk, power):
    flushed(disk, 7)
    power.cut_after(1, bool)
    with contextlib.suppress(ConnectionError):
        disk.write(0, NEW)
    power.on()
    assert data(disk, 7) == OLD


def test_a_cut_at_one_disk_takes_from_all(disk, tmp_path, power):
    other = Disk(tmp_path / "other", power)
    other.write(0, NEW)
    power.cut_after(1, bool)
    with contextlib.suppress(ConnectionError):
        disk.write(0, NEW)
    assert power.loss.startswith("of 2 unsafe blocks")
    other.close()


def test_the_same_seed_takes_the_same_blocks(tmp_path):
    losses = []
    for turn in range(2):
        power = Power(random.Random(5))
        disk = Disk(tmp_path / f"disk-{turn}", power)
        power.cut_after(50, bool)
        with contextlib.suppress(ConnectionError):
            for block in range(50):
                disk.write(block * BLOCK_BYTES, NEW)
        power.on()
        losses.append([data(disk, block) == NEW for block in range(50)])
        disk.close()
    assert losses[0] == losses[1]


class Client:
    """QEMU's end of a disk's socket. Source: github.com/NetworkBlockDevice/nbd doc/proto.md."""

    def __init__(self, path):
        self._socket = socket.socket(socket.AF_UNIX)
        self._socket.settimeout(LIMIT_S)
        self._socket.connect(str(path))
        assert self._take(18) == b"NBDMAGICIHAVEOPT\x00\x03"
        self._socket.sendall(struct.pack(">I", 3))

    def option(self, number, data=b""):
        """Return kinds and data of the answers to an option, up to the one that ends them."""
        self._socket.sendall(b"IHAVEOPT" + struct.pack(">II", number, len(data)) + data)
        answers = []
        while not answers or answers[-1][0] == 3:
            magic, same, kind, size = struct.unpack(">QIII", self._take(20))
            assert (magic, same) == (0x0003E889045565A9, number)
            answers.append((kind, self._take(size)))
        return answers

    def request(self, kind, offset=0, size=0, data=b"", *, expects=0):
        """Return the error of a request's answer and its data."""
        self._socket.sendall(struct.pack(">IHHQQI", 0x25609513, 0, kind, 77, offset, size or len(data)) + data)
        magic, error, handle = struct.unpack(">IIQ", self._take(16))
        assert (magic, handle) == (0x67446698, 77)
        return error, self._take(expects)

    def is_over(self):
        return self._socket.recv(1) == b""

    def close(self):
        self._socket.close()

    def _take(self, size):
        data = b""
        while len(data) < size:
            part = self._socket.recv(size - len(data))
            assert part, "the disk hung up"
            data += part
        return data


@pytest.fixture
def connect(disk, tmp_path):
    """Connect as a guest; each is gone before the server goes."""
    with DiskServer(disk, tmp_path / "socket") as server, contextlib.ExitStack() as undo:

        def connected():
            client = Client(server.path)
            undo.callback(client.close)
            return client

        yield connected


@pytest.fixture
def client(connect):
    client = connect()
    client.option(7, struct.pack(">IH", 0, 0))
    return client


def test_a_disk_says_its_size_and_that_it_takes_flushes(connect):
    (kind, export), *_, last = connect().option(7, struct.pack(">IH", 0, 0))
    what, size, flags = struct.unpack(">HQH", export)
    assert (kind, what, size) == (3, 0, SIZE_BYTES)
    assert flags & 0b101 == 0b101
    assert last == (1, b"")


def test_options_that_a_disk_does_not_know_are_refused_and_others_may_follow(connect):
    client = connect()
    assert client.option(8) == [(0x80000001, b"")]
    assert client.option(7, struct.pack(">IH", 0, 0))[-1] == (1, b"")


def test_what_was_written_is_read(client):
    assert client.request(1, 8192, data=NEW) == (0, b"")
    assert client.request(0, 8192, BLOCK_BYTES, expects=BLOCK_BYTES) == (0, NEW)


def test_a_flush_over_the_socket_makes_writes_safe(client, disk):
    client.request(1, 0, data=NEW)
    client.request(3)
    assert disk.forget(always) == (0, 0)


def test_a_request_that_a_disk_does_not_know_is_refused(client):
    assert client.request(4, 0, 512) == (22, b"")


def test_a_cut_hangs_up_and_the_next_guest_finds_the_disk(client, connect, power):
    power.cut_after(1, bool)
    with pytest.raises(AssertionError, match="hung up"):
        client.request(1, 0, data=NEW)
    power.on()
    other = connect()
    other.option(7, struct.pack(">IH", 0, 0))
    assert other.request(3) == (0, b"")


def test_what_a_guest_says_is_kept_over_its_boots(tmp_path):
    for boot in range(2):
        assert Cutter(tmp_path / "told", 0, bool).obey(f"acked {boot}") == "ok"
    assert (tmp_path / "told").read_text() == "acked 0\nacked 1\n"


def test_a_cut_is_due_once_when_enough_was_acknowledged(tmp_path):
    cuts = []
    cutter = Cutter(tmp_path / "told", 2, lambda: cuts.append((tmp_path / "told").read_text()))
    for line in ("acked a", "checked b", "acked c", "acked d"):
        cutter.obey(line)
    assert cuts == ["acked a\nchecked b\nacked c\n"]


def test_without_a_cut_nothing_is_due(tmp_path):
    cuts = []
    cutter = Cutter(tmp_path / "told", 0, lambda: cuts.append(1))
    for number in range(100):
        cutter.obey(f"acked {number}")
    assert cuts == []
