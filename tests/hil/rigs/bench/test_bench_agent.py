"""Ports of a bench that hang on another machine: real agents in processes of their own, over TLS."""

from __future__ import annotations

import subprocess
import sys
import time

import pytest

pytest.importorskip("serial")
pytest.importorskip("can")

import trustme

from hil.hosts.canbus import SlcanWire
from hil.lease import LeaseLostError, Pool
from hil.rigs.base import RigError, RigLostError, Round
from hil.rigs.bench.rig import BenchRig
from hil.rigs.file import load
from hil.sim.pty import Cable
from tests.waiting import until

READ_ID = bytes.fromhex("9f000000")
LONG = "30s"
SLEEP = "sleep_after_open=0"


class Place:
    """Two machines in one folder: `far` is where the boards hang, `near` where the tests run."""

    def __init__(self, folder):
        self.folder = folder
        self.uart, self.can = Cable(folder / "tty"), Cable(folder / "adapter")
        for cable in (self.uart, self.can):
            cable.plug()
        self.bus = SlcanWire(self.can)
        authority = trustme.CA()
        authority.cert_pem.write_to_path(str(folder / "ca.pem"))
        for name, host in (("agent", "127.0.0.1"), ("runner", "runner")):
            authority.issue_cert(host).private_key_and_cert_chain_pem.write_to_path(str(folder / f"{name}.pem"))
        far = f"""\
[rig]
name = "far"
[target.a.resource.uart0]
protocol = "uart"
port = "{self.uart.path}"
baud = 115200
[target.a.resource.can0]
protocol = "can"
port = "slcan:{self.can.path}?{SLEEP}"
fd = true
"""
        (folder / "far.toml").write_text(far)
        self._processes = []
        self._rigs = []

    def agent(self, at=0, *more):
        """Start the agent of the serial line and the CAN bus; return its process and address."""
        paper = self.folder / "agent.pem"
        words = ["gateway", "hil", "agent", "--rig", self.folder / "far.toml", "--listen", f"127.0.0.1:{at}"]
        return self._start([*words, "--cert", paper, "--key", paper, "--client-ca", self.folder / "ca.pem", *more])

    def spi_agent(self, at=0):
        """Start the agent of the chip select; return its process and address."""
        return self._start(
            ["tests.hil.agent.spi_agent", self.folder, self.folder / "agent.pem", self.folder / "ca.pem", at]
        )

    def rig(self, **resources):
        """Return a begun rig with these resources: protocol -> address of its agent."""
        lines = ['[rig]\nname = "near"\n']
        for protocol, agent in resources.items():
            lines.append(f'[target.a.resource.{protocol}0]\nprotocol = "{protocol}"\nagent = "{agent}"\n')
        (self.folder / "near.toml").write_text("".join(lines))
        rig = BenchRig(load(self.folder / "near.toml"), "a")
        self._rigs.append(rig)
        rig.begin(Round("t", 1, self.folder / "data"), self.folder / "1.trace")
        return rig

    def _start(self, words):
        process = subprocess.Popen([sys.executable, "-m", *map(str, words)], stderr=subprocess.PIPE, text=True)
        self._processes.append(process)
        line = process.stderr.readline()
        assert line.startswith("serving a ("), line + process.stderr.read()
        assert line.endswith(", TLS\n")
        return process, line.split(" on ")[1].split(",")[0]

    def close(self):
        for rig in self._rigs:
            rig.close()
        for process in self._processes:
            process.kill()
            process.wait()
            process.stderr.close()
        for cable in (self.uart, self.can):
            cable.unplug()


@pytest.fixture
def place(tmp_path, monkeypatch):
    for name, file in (("CA", "ca.pem"), ("CERT", "runner.pem")):
        monkeypatch.setenv(f"TIDEGATE_AGENT_{name}", str(tmp_path / file))
    place = Place(tmp_path)
    yield place
    place.close()


def notes(rig):
    return [record.get("text") for record in rig.trace.records if record.kind == "note"]


def records(rig, bus):
    return [record for record in rig.trace.records if record.bus == bus and record.dir in {"rx", "tx"}]


def said(uart, rig, expected):
    """What the board's end of the line heard."""
    heard = b""

    def enough():
        nonlocal heard
        heard += uart.receive()
        return len(heard) >= len(expected)

    until(enough)
    return heard


def test_a_serial_line_works_as_one_of_this_machine(place):
    _, address = place.agent()
    rig = place.rig(uart=address)
    rig.get("uart0").write(b"ping")
    assert said(place.uart, rig, b"ping") == b"ping"
    place.uart.send(b"pong")
    assert rig.get("uart0").read(4, timeout=LONG) == b"pong"
    sent, came = records(rig, "uart0")
    assert (sent.dir, sent.data, came.dir, came.data) == ("tx", b"ping".hex(), "rx", b"pong".hex())
    assert 0 < sent.t_ns < came.t_ns < rig.world.now_ns


def test_a_can_bus_works_as_one_of_this_machine(place):
    _, address = place.agent()
    rig = place.rig(can=address)
    bus = rig.get("can0")
    bus.send(0x123, b"\x01\x02")
    bus.send(0x1ABCDE, bytes(range(12)), extended=True, fd=True)
    heard = []
    until(lambda: heard.append(place.bus.receive()) or sum(map(len, heard)) >= 14)
    assert b"".join(heard) == b"\x01\x02" + bytes(range(12))
    place.bus.send(b"\x05")
    frame = bus.recv(timeout=LONG)
    assert (frame.id, frame.data, frame.extended, frame.fd, frame.error) == (0x321, b"\x05", False, False, False)
    assert [(each.dir, each.kind, each.get("id"), each.data) for each in records(rig, "can0")] == [
        ("tx", "data", "123", "0102"),
        ("tx", "fd", "001ABCDE", bytes(range(12)).hex()),
        ("rx", "data", "321", "05"),
    ]
    stamps = [each.t_ns for each in records(rig, "can0")]
    assert stamps == sorted(stamps)
    assert 0 < frame.t_ns < rig.world.now_ns


def test_what_an_agent_cannot_do_with_a_bus_is_told(place):
    _, address = place.agent()
    bus = place.rig(can=address).get("can0")
    with pytest.raises(RigError, match=r"behind an agent, which does not send .* esi"):
        bus.send(0x123, bytes(12), fd=True, esi=True)
    with pytest.raises(RigError, match="behind an agent, which does not restart a controller"):
        bus.restart()
    bus.send(0x123, b"\x01")


def test_a_chip_select_works_as_one_of_this_machine(place):
    _, address = place.spi_agent()
    rig = place.rig(spi=address)
    before_ns = rig.world.now_ns
    rx = rig.get("spi0").transfer(READ_ID)
    assert rx[1:2] == b"\xef"  # Winbond
    (record,) = records(rig, "spi0")
    assert (record.kind, record.data, record.get("rx")) == ("transfer", READ_ID.hex(), rx.hex())
    assert before_ns - 10**9 < record.t_ns < rig.world.now_ns


def test_a_transfer_that_the_far_kernel_does_not_take_is_told_and_the_next_works(place):
    _, address = place.spi_agent()
    rig = place.rig(spi=address)
    with pytest.raises(RigError, match="a transfer of 5000 bytes; the kernel takes 1 to 4096"):
        rig.get("spi0").transfer(bytes(5000))
    assert rig.get("spi0").transfer(READ_ID)[1:2] == b"\xef"


def test_a_gateway_uses_a_chip_select_of_another_machine(place):
    _, address = place.spi_agent()
    rig = place.rig(spi=address)
    gateway = rig.make_gateway()
    try:
        gateway.add("flash", profile="w25q", port="spi0")
        gateway.wait("flash/flash/manufacturer", timeout="60s")
    finally:
        gateway.close()
    assert {(record.dir, record.kind) for record in records(rig, "spi0")} == {("tx", "transfer")}


def test_an_agent_that_vanishes_and_comes_back_in_mid_test_is_a_gap_in_the_trace(place):
    process, address = place.agent()
    rig = place.rig(uart=address, can=address)
    process.kill()
    process.wait()
    until(lambda: sum("its agent is away: " in note for note in notes(rig)) == 2)
    place.agent(int(address.rpartition(":")[2]))
    until(lambda: sum("reads are missing" in note for note in notes(rig)) == 2)
    place.uart.send(b"back")
    assert rig.get("uart0").read(4, timeout=LONG) == b"back"
    rig.get("can0").send(0x123, b"\x01")
    for name in ("uart0", "can0"):
        assert f"a.{name}: an unknown number of reads are missing: the agent or its port was started anew" in notes(rig)


@pytest.mark.parametrize("protocol", ["uart", "can", "spi"])
def test_what_is_done_while_the_agent_is_gone_is_a_lost_board_until_it_is_restored(place, protocol):
    begin = place.spi_agent if protocol == "spi" else place.agent
    process, address = begin()
    rig = place.rig(**{protocol: address})
    handle = rig.get(f"{protocol}0")
    deed = {
        "uart": lambda: handle.write(b"x"),
        "can": lambda: handle.send(0x123, b"\x01"),
        "spi": lambda: handle.transfer(READ_ID),
    }[protocol]
    process.kill()
    process.wait()
    with pytest.raises(RigLostError, match=rf"a\.{protocol}0 \(127\.0\.0\.1:\d+\) went away: "):
        until(deed, 60)  # one that is under way when the line breaks; those behind it wait for the agent
    assert any(note.startswith(f"a.{protocol}0 is gone: ") for note in notes(rig))
    begin(int(address.rpartition(":")[2]))
    rig.restore()
    deed()
    assert records(rig, f"{protocol}0")[-1].dir == "tx"


@pytest.mark.parametrize("protocol", ["uart", "can"])
def test_whoever_lost_the_lease_does_nothing_to_the_board_any_more(place, monkeypatch, protocol):
    pool = Pool(place.folder / "pool")
    pool.put("a")
    lease = pool.take("name=a")
    monkeypatch.setenv("TIDEGATE_TARGET", "a")
    monkeypatch.setenv("TIDEGATE_TOKEN", str(lease.token))
    _, address = place.agent(0, "--pool", pool.path)
    rig = place.rig(**{protocol: address})
    handle = rig.get(f"{protocol}0")
    deed = {"uart": lambda: handle.write(b"x"), "can": lambda: handle.send(0x123, b"x")}[protocol]
    far = {"uart": place.uart, "can": place.bus}[protocol]
    deed()
    until(lambda: far.receive() == b"x")
    pool.kick("a")
    with pytest.raises(LeaseLostError):
        deed()
    time.sleep(0.3)  # whatever is still under way
    assert far.receive() == b""


def test_a_runner_without_a_lease_does_not_come_up(place):
    pool = Pool(place.folder / "pool")
    pool.put("a")
    _, address = place.agent(0, "--pool", pool.path)
    with pytest.raises(RigError, match=r"a\.can0 \(127\.0\.0\.1:\d+\).*refused: .*lease"):
        place.rig(can=address)


def test_a_board_that_another_runner_has_does_not_come_up(place):
    _, address = place.agent()
    place.rig(uart=address)
    with pytest.raises(RigError, match=r"a\.uart0 \(127\.0\.0\.1:\d+\).*refused: uart0 is in use by 127\.0\.0\.1:\d+"):
        place.rig(uart=address)


def test_a_board_that_is_unplugged_there_is_a_lost_board_here(place):
    _, address = place.agent()
    rig = place.rig(uart=address)
    place.uart.unplug()
    with pytest.raises(RigLostError, match=r"a\.uart0 \(127\.0\.0\.1:\d+\) went away"):
        rig.get("uart0").read(1, timeout=LONG)
    place.uart.plug()
    rig.restore()
    rig.get("uart0").write(b"x")
    assert said(place.uart, rig, b"x") == b"x"
