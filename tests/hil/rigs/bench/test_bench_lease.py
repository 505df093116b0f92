"""A bench under a lease: whoever loses the board does nothing to it any more, and hears nothing of it."""

from __future__ import annotations

import fcntl
import struct
import sys
import termios
import threading
import time
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

pytest.importorskip("serial")
pytest.importorskip("can")

from hil.hosts.wire import RigUnavailableError
from hil.lease.errors import LeaseLostError
from hil.lease.pool import Pool
from hil.rigs.base import Round
from hil.rigs.bench import leased
from hil.rigs.bench.rig import BenchRig
from hil.rigs.file import load
from hil.sim.pty import Cable
from hil.sim.spi.fake import FakeBus
from hil.sim.spi.w25q import W25q

FILE = """\
[rig]
name = "bench"
[target.a.resource.uart0]
protocol = "uart"
port = "{folder}/board"
peer = "{folder}/peer"
[target.a.resource.can0]
protocol = "can"
port = "virtual:{name}"
peer = "virtual:{name}"
shared = true
[target.a.resource.spi0]
protocol = "spi"
port = "{spi}"
[target.a.resource.power]
protocol = "power"
command_on = {on}
command_off = {off}
[target.a.state.configured]
command = {configure}
"""
NEVER_S = 60  # as long as a test would wait for what does not come


class Bench:
    def __init__(self, tmp_path: Path, pool: Pool) -> None:
        self.pool = pool
        self.said = tmp_path / "said"
        write = f"import sys; open({str(self.said)!r}, 'a').write(sys.argv[1])"
        words = {each: [sys.executable, "-c", write, f"{each} "] for each in ("on", "off", "configure")}
        self.cable, self.other = Cable(tmp_path / "board"), Cable(tmp_path / "peer")
        self.cable.plug()
        self.other.plug()
        bus = FakeBus(tmp_path)
        self.line = bus.plug("spidev0.0", W25q())
        spi = bus.path("spidev0.0")
        (tmp_path / "rig.toml").write_text(FILE.format(folder=tmp_path, name=tmp_path.name, spi=spi, **words))
        self.rig = BenchRig(load(tmp_path / "rig.toml"), "a", bus.device)
        self.folder = tmp_path

    def begin(self) -> None:
        self.rig.begin(Round("t", 1, self.folder / "data"), self.folder / "1.trace")

    def close(self) -> None:
        self.rig.close()
        self.cable.unplug()
        self.other.unplug()

    def settle(self, came: Callable[[], object]) -> None:
        """Wait until something has come."""
        assert self.rig.world is not None
        assert self.rig.world.wait_for(lambda: bool(came()), self.rig.world.now_ns + 30_000_000_000)


@pytest.fixture
def pool(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Pool:
    pool = Pool(tmp_path / "pool")
    pool.put("a", ["board=x"])
    lease = pool.take("name=a", ttl_s=600)
    for name, value in (("TARGET", "a"), ("TOKEN", str(lease.token)), ("POOL", str(pool.path))):
        monkeypatch.setenv(f"TIDEGATE_{name}", value)
    monkeypatch.setattr(leased, "GLANCE_NS", 0)
    return pool


@pytest.fixture
def bench(pool: Pool, tmp_path: Path) -> Iterator[Bench]:
    made = Bench(tmp_path, pool)
    made.begin()
    yield made
    made.close()


def test_as_long_as_it_lasts_the_board_is_used(bench: Bench) -> None:
    bench.rig.get("uart0").write(b"x")
    bench.rig.get("can0").peer.send(0x123, b"\1")
    assert bench.rig.get("can0").recv(timeout=30).id == 0x123
    assert bench.rig.get("spi0").transfer(bytes.fromhex("9f000000"))[1:2] == b"\xef"
    bench.rig.get("power").off()
    assert bench.said.read_text() == "on configure off "


DEEDS: dict[str, Callable[[BenchRig], object]] = {
    "uart write": lambda rig: rig.get("uart0").write(b"x"),
    "uart break": lambda rig: rig.get("uart0").wires[0].send_break(),
    "uart peer": lambda rig: rig.get("uart0").peer.send(b"x"),
    "uart peer break": lambda rig: rig.get("uart0").wires[1].send_break(),
    "can send": lambda rig: rig.get("can0").send(0x123, b"\1"),
    "can peer": lambda rig: rig.get("can0").peer.send(0x123, b"\1"),
    "spi transfer": lambda rig: rig.get("spi0").transfer(b"\x9f\0\0"),
    "power off": lambda rig: rig.get("power").off(),
    "power on": lambda rig: rig.dut.switch(on=True),
    "dut to": lambda rig: rig.dut.to("off"),
    "brown_out": lambda rig: rig.faults.add("brown_out"),
    "reset": lambda rig: rig.faults.add("reset"),
}


@pytest.mark.parametrize("deed", DEEDS)
def test_whoever_was_displaced_does_nothing_to_the_board(bench: Bench, deed: str) -> None:
    bench.pool.kick("a")
    transfers = len(bench.line.transfers)
    with pytest.raises(LeaseLostError, match="lease"):
        DEEDS[deed](bench.rig)
    assert (bench.cable.receive(), bench.other.receive(), bench.said.read_text()) == (b"", b"", "on configure ")
    assert len(bench.line.transfers) == transfers
    assert [record for record in bench.rig.trace.records if record.dir == "tx"] == []
    assert bench.rig.end() == []


HEARD: dict[str, tuple[Callable[[Bench], object], Callable[[BenchRig], object]]] = {
    "uart read": (lambda bench: bench.cable.send(b"x"), lambda rig: rig.get("uart0").read(1, timeout=NEVER_S)),
    "uart read_some": (lambda bench: bench.cable.send(b"x"), lambda rig: rig.get("uart0").read_some(NEVER_S)),
    "uart errors": (lambda bench: bench.cable.send(b"x"), lambda rig: rig.get("uart0").errors),
    "uart peer": (lambda bench: bench.other.send(b"x"), lambda rig: rig.get("uart0").peer.received),
    "can recv": (lambda bench: bench.rig.get("can0").peer.send(1, b"x"), lambda rig: rig.get("can0").recv(NEVER_S)),
    "can state": (lambda bench: bench.rig.get("can0").peer.send(1, b"x"), lambda rig: rig.get("can0").state),
    "can peer": (lambda bench: bench.rig.get("can0").send(1, b"x"), lambda rig: rig.get("can0").peer.received),
}


@pytest.mark.parametrize("read", HEARD)
def test_what_came_before_the_loss_is_not_given_after_it(bench: Bench, read: str) -> None:
    send, hear = HEARD[read]
    send(bench)
    if read == "uart peer":
        bench.settle(lambda: hear(bench.rig))
    else:
        bench.settle(lambda: [each for each in bench.rig.trace.records if each.dir in {"rx", "tx"}])
    bench.pool.kick("a")
    with pytest.raises(LeaseLostError):
        hear(bench.rig)


@pytest.mark.parametrize(
    "hear", [lambda rig: rig.get("uart0").read(1, timeout=NEVER_S), lambda rig: rig.get("can0").recv(NEVER_S)]
)
def test_a_wait_ends_with_the_loss(bench: Bench, hear: Callable[[BenchRig], object]) -> None:
    kicking = threading.Timer(0.1, bench.pool.kick, ["a"])
    kicking.start()
    began_s = time.monotonic()
    with pytest.raises(LeaseLostError):
        hear(bench.rig)
    kicking.join()
    assert time.monotonic() - began_s < NEVER_S / 2


def test_whoever_listens_to_the_bus_hears_no_more(bench: Bench) -> None:
    uart = bench.rig.get("uart0")
    heard: list[bytes] = []
    uart.listen(heard.append)
    bench.pool.kick("a")
    bench.cable.send(b"x")
    node, left = uart.node, bytearray(4)
    with Path(node).open("rb", buffering=0) as line:  # until the reading thread has taken it
        until_s = time.monotonic() + 30
        while struct.unpack("i", left)[0] or time.monotonic() < until_s:
            fcntl.ioctl(line, termios.FIONREAD, left)
            if not struct.unpack("i", left)[0]:
                break
    bench.rig.close()  # and is at its end
    assert heard == []
    assert not any(record.kind == "bytes" for record in bench.rig.trace.records)


def test_a_port_that_a_fault_took_is_not_opened_again(bench: Bench) -> None:
    bench.rig.faults.add("unplug", bus="uart0")
    bench.pool.kick("a")
    left = bench.rig.end()
    assert [text for text in left if "lease" in text]
    assert not bench.rig.get("uart0").wires[0].is_open


def test_the_next_test_of_who_was_displaced_does_not_begin(bench: Bench) -> None:
    bench.rig.dut.to("off")
    bench.rig.end()
    bench.pool.kick("a")
    with pytest.raises(LeaseLostError):
        bench.begin()
    assert bench.said.read_text() == "on configure off "


def test_nobody_gets_the_board_while_it_is_switched(bench: Bench, tmp_path: Path) -> None:
    began, go_on = tmp_path / "began", tmp_path / "go on"
    slow = f"import os, time; open({str(began)!r}, 'w')\nwhile not os.path.exists({str(go_on)!r}): time.sleep(0.01)"
    file = tmp_path / "rig.toml"
    file.write_text(
        f'[rig]\nname = "b"\n[target.a.resource.power]\nprotocol = "power"\n'
        f"command_on = 'true'\ncommand_off = {[sys.executable, '-c', slow]}\n"
    )
    rig = BenchRig(load(file), "a")
    rig.begin(Round("t", 1, tmp_path / "data"), tmp_path / "2.trace")
    switching = threading.Thread(target=rig.get("power").off)
    switching.start()
    until_s = time.monotonic() + 30
    while not began.exists() and time.monotonic() < until_s:
        time.sleep(0.01)
    bench.pool.kick("a")
    with pytest.raises(TimeoutError):
        bench.pool.take("name=a", ttl_s=60, wait_s=0)
    go_on.touch()
    switching.join()
    bench.pool.take("name=a", ttl_s=60, wait_s=30).put()
    rig.close()


# ---- Bluetooth

MAC = "F0:F1:F2:F3:F4:F5"
RATE = "00002a37-0000-1000-8000-00805f9b34fb"
HEART = "0000180d-0000-1000-8000-00805f9b34fb"
BLE = f'[rig]\nname = "bench"\n[target.a.resource.ble0]\nprotocol = "ble"\nport = "hci0/{MAC}"\n'


@pytest.fixture
def air(pool: Pool, tmp_path: Path):
    """Give a rig with a device in reach, and that device's characteristic; its BlueZ."""
    pytest.importorskip("bleak")
    from hil.sim.bluez.bus import private_bus
    from hil.sim.bluez.peripheral import Characteristic, Peripheral
    from hil.sim.bluez.service import FakeBluez

    try:
        with private_bus() as address, FakeBluez(address) as bluez:
            rate = Characteristic(RATE, value=b"\x01")
            sensor = bluez.add(Peripheral(MAC, "Heart", manufacturer={0x0499: b"\x05"}, services={HEART: [rate]}))
            (tmp_path / "rig.toml").write_text(BLE)
            rig = BenchRig(load(tmp_path / "rig.toml"), "a")
            rig.begin(Round("t", 1, tmp_path), None)
            yield rig, bluez, sensor
            rig.close()
    except RigUnavailableError as error:
        pytest.skip(str(error))


def test_whoever_was_displaced_hears_and_connects_to_no_device(air, pool: Pool) -> None:
    rig, bluez, sensor = air
    assert rig.get("ble0").next(timeout=30) is not None
    pool.kick("a")
    with pytest.raises(LeaseLostError):
        rig.get("ble0").next(timeout=NEVER_S)
    with pytest.raises(LeaseLostError), rig.get("ble0").connect(MAC):
        pass
    assert (bluez.calls["Connect"], bluez.is_connected(sensor)) == (0, False)


def test_whoever_was_displaced_loses_the_link_and_all_that_is_done_over_it(air, pool: Pool) -> None:
    rig, bluez, sensor = air
    rate = sensor.characteristics[0]
    with rig.get("ble0").connect(MAC) as link:
        kept = link.notifications(RATE)
        calls = dict(bluez.calls)
        pool.kick("a")
        bluez.notify(sensor, rate, b"\x09")
        for deed in (lambda: link.read(RATE), lambda: link.write(RATE, b"x"), lambda: link.notifications(RATE)):
            with pytest.raises(LeaseLostError):
                deed()
        with pytest.raises(LeaseLostError):
            _ = kept.received
        with pytest.raises(LeaseLostError):
            kept.next(timeout=NEVER_S)
        assert {name: bluez.calls[name] for name in ("ReadValue", "WriteValue", "StartNotify")} == {
            name: calls.get(name, 0) for name in ("ReadValue", "WriteValue", "StartNotify")
        }
    assert not bluez.is_connected(sensor)
    links = [record for record in rig.trace.records if record.dir in {"rx", "tx"} and record.kind != "adv"]
    told = [(record.dir, record.kind, record.get("descriptor")) for record in links]
    assert told == [
        ("tx", "connect", None),
        ("rx", "connect", None),
        ("tx", "write", "2902"),
        ("rx", "write", "2902"),
    ]
