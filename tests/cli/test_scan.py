"""`tidegate scan`: what is there, what fits, and nothing is touched that somebody holds."""

from __future__ import annotations

import asyncio
import json
import threading
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any

import pytest
from click.testing import CliRunner

from gateway.cli import scan_buses, scan_listen
from gateway.cli.scan import command, profiles_of
from gateway.cli.scan_buses import Scan, facts_told
from gateway.cli.scan_found import Fit, Found, better, block
from gateway.cli.scan_listen import Setting, is_silent_line, settings_of
from gateway.clock import SystemClock
from gateway.errors import PortNotFoundError
from gateway.frame import Address, Batch, PortName
from gateway.profile.build import CompiledProfile
from gateway.profile.load import example_profile, shipped_profiles
from gateway.profile.model import LinkSpec
from gateway.registry import driver_for
from hil.sim.pty import Cable
from tests.machine import Machine

SHIPPED = shipped_profiles()
PMS = bytes.fromhex("424d001c000c0023002f000b001e00290834028000780010000400019700033d")


class Quiet:
    """A progress line that nobody sees."""

    def tell(self, text: str) -> None:
        """Show nothing."""

    def end(self) -> None:
        """Show nothing."""


class Chip:
    """A SPI chip with one id register; remembers what was sent to it."""

    is_stream = False

    def __init__(self, name: str, register: int, number: bytes, sent: list[bytes]) -> None:
        self.name = PortName(name)
        self._register, self._number, self._sent = register, number, sent
        self._answer: tuple[bytes, bytes] | None = None

    async def open(self) -> None:
        """Be there."""

    async def close(self) -> None:
        """Be there no more."""

    async def ask(self, request: bytes, address: Address = None) -> None:
        """Answer at once."""
        self._sent.append(request)
        body = self._number if request[0] == self._register else b""
        self._answer = request, (b"\0" + body).ljust(len(request), b"\xff")[: len(request)]

    async def read(self) -> Batch:
        """Give the answer."""
        assert self._answer is not None
        request, answer = self._answer
        return Batch([answer], 0, 0, [request])

    async def write(self, data: bytes, address: Address = None) -> None:
        """A probe never writes."""
        raise AssertionError("written to")


@pytest.fixture
def machine(tmp_path: Path) -> Machine:
    return Machine(tmp_path / "root")


@pytest.fixture(autouse=True)
def _data(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("TIDEGATE_DATA", str(tmp_path / "state"))


@pytest.fixture
def speaking(machine: Machine) -> Iterator[Cable]:
    """A PMS5003 behind /dev/ttyUSB0 of the machine."""
    machine.tty("ttyUSB0", machine.usb("1-1", "0403", "6001", "A1", "FT232R USB UART"))
    (machine.root / "dev/ttyUSB0").unlink()
    with Cable(machine.root / "dev/ttyUSB0") as cable:
        ended = threading.Event()

        def speak() -> None:
            while not ended.wait(0.01):
                cable.send(PMS)

        speaker = threading.Thread(target=speak)
        speaker.start()
        yield cable
        ended.set()
        speaker.join()


def scan(machine: Machine, seconds: Mapping[str, float], *names: str, probe: bool = False) -> list[Found]:
    profiles = {name: str(SHIPPED[name]) for name in names or SHIPPED}
    one = Scan(profiles, None, progress=Quiet(), probe=probe, root=machine.root)
    return asyncio.run(one.run(seconds))


def replayed(monkeypatch: pytest.MonkeyPatch, file: Path) -> None:
    """Let every port be a recording."""

    def make(_target: str, link: LinkSpec) -> Any:
        return driver_for(f"replay:{file}", link.bus).make(f"replay:{file}", link, SystemClock())

    monkeypatch.setattr(scan_listen, "make_port", make)


def test_a_serial_device_that_speaks_is_recognised(machine: Machine, speaking: Cable):
    (found,) = scan(machine, {"uart": 0.4}, "pms5003", "sds011", "nmea-gnss")
    assert found.profiles[0].name == "pms5003"
    assert found.profiles[0].score >= 90
    assert found.heard is not None
    assert found.usb == {"vid_pid": "0403:6001", "serial": "A1", "product": "FT232R USB UART"}


def test_nothing_is_sent_to_a_port_that_is_listened_to(machine: Machine, speaking: Cable):
    scan(machine, {"uart": 0.2}, "pms5003")
    assert speaking.receive() == b""


def test_a_port_that_somebody_holds_is_named_and_not_opened(machine: Machine, speaking: Cable):
    machine.write("proc/41/comm", "gpsd\n")
    (machine.root / "proc/41/fd").mkdir()
    (machine.root / "proc/41/fd/3").symlink_to("/dev/ttyUSB0")
    (found,) = scan(machine, {"uart": 0.2}, "pms5003")
    assert (found.claimed, found.heard, found.profiles) == ("gpsd (process 41)", None, [])


def test_listening_for_no_time_opens_nothing(machine: Machine):
    machine.tty("ttyUSB0", machine.usb("1-1", "1546", "01a9"))
    (found,) = scan(machine, {"uart": 0})
    assert [(fit.name, fit.score) for fit in found.profiles] == [("ublox-nav", 60)]
    assert (found.heard, found.note) == (None, None)


def test_a_silent_line_is_tried_at_one_rate_only_and_told(machine: Machine):
    machine.tty("ttyUSB0")
    (machine.root / "dev/ttyUSB0").unlink()
    with Cable(machine.root / "dev/ttyUSB0"):
        (found,) = scan(machine, {"uart": 0.05})
    assert found.heard == {}
    assert "silent" in (found.note or "")


def test_a_port_that_cannot_be_opened_says_why_and_stops_no_other(machine: Machine, speaking: Cable):
    machine.tty("ttyUSB1")
    (machine.root / "dev/ttyUSB1").unlink()
    first, second = scan(machine, {"uart": 0.3}, "pms5003")
    assert first.profiles[0].name == "pms5003"
    assert "is not there" in (second.note or "")


def test_bytes_that_no_profile_knows_are_described(machine: Machine, speaking: Cable):
    (found,) = scan(machine, {"uart": 0.3}, "sds011")
    assert "42 4d" in (found.note or "")


def test_the_name_to_use_is_the_most_stable_one(machine: Machine):
    machine.tty("ttyUSB0")
    machine.link("dev/serial/by-path/pci-1", "dev/ttyUSB0")
    machine.link("dev/tidegate/uart-A1", "dev/ttyUSB0")
    (found,) = scan(machine, {"uart": 0})
    assert found.port == "/dev/tidegate/uart-A1"
    assert found.links == ["/dev/tidegate/uart-A1", "/dev/serial/by-path/pci-1"]


def test_a_bus_is_recognised_by_its_ids(machine: Machine, monkeypatch: pytest.MonkeyPatch, tmp_path: Path):
    rows = [json.loads(line) for line in (SHIPPED["motor"].parent / "golden.jsonl").read_text().splitlines()]
    log = tmp_path / "bus.log"
    log.write_text("".join(f"{row['candump']}\n" for row in rows if isinstance(row["candump"], str)))
    replayed(monkeypatch, log)
    machine.can("can0", machine.usb("1-2", "1d50", "606f", "42"))
    (found,) = scan(machine, {"can": 5})
    assert found.profiles[0].name == "motor"
    assert found.heard is not None
    assert {"201", "202"} <= set(found.heard["ids"])


def test_an_interface_that_is_down_gets_the_command_that_brings_it_up(machine: Machine):
    machine.can("can0", machine.usb("1-2", "1d50", "606f"), flags="0x40080")
    machine.can("vcan0", flags="0x40080")
    first, second = scan(machine, {"can": 5})
    assert first.note == "down: sudo ip link set can0 up type can bitrate 500000"
    assert second.note == "down: sudo ip link set vcan0 up"


def test_advertisers_are_listed_one_by_one_the_nearest_first(
    machine: Machine, monkeypatch: pytest.MonkeyPatch, tmp_path: Path
):
    far = {"address": "AA:00:00:00:00:01", "rssi": -90, "manufacturer_data": {"9": "00"}}
    near = json.loads((SHIPPED["ruuvitag-df5"].parent / "golden.jsonl").read_text().splitlines()[0])["adv"]
    log = tmp_path / "air.jsonl"
    log.write_text(json.dumps(far) + "\n" + json.dumps({**near, "rssi": -40}) + "\n")
    replayed(monkeypatch, log)
    machine.write("sys/class/bluetooth/hci0/uevent", "")
    adapter, first, second = scan(machine, {"ble": 5})
    assert adapter.heard == {"addresses": 2}
    assert (first.port, first.profiles[0].name) == (f"hci0/{near['address']}", "ruuvitag-df5")
    assert (second.state, second.profiles) == ({"rssi_dbm": -90}, [])


def test_a_chip_is_asked_only_when_told_to_and_only_for_its_id(machine: Machine, monkeypatch: pytest.MonkeyPatch):
    sent: list[bytes] = []
    monkeypatch.setattr(scan_listen, "make_port", lambda target, _link: Chip(target, 0xD0, b"\x58", sent))
    machine.spidev("spidev0.0")
    (silent,) = scan(machine, {"spi": 0})
    assert (silent.profiles, sent) == ([], [])
    (found,) = scan(machine, {"spi": 0}, "bmp280", "bme280", "mcp3008", probe=True)
    assert [(fit.name, fit.score) for fit in found.profiles] == [("bmp280", 97)]
    assert set(sent) == {b"\xd0\x00"}


def test_a_chip_select_whose_driver_is_missing_says_so(machine: Machine, monkeypatch: pytest.MonkeyPatch):
    def refuse(target: str, _link: LinkSpec) -> Any:
        raise PortNotFoundError(target, "no such chip")

    monkeypatch.setattr(scan_listen, "make_port", refuse)
    machine.spidev("spidev0.0")
    (found,) = scan(machine, {"spi": 0}, "bmp280", probe=True)
    assert "no such chip" in (found.note or "")


def test_a_machine_with_nothing_on_it_has_nothing(machine: Machine):
    assert scan(machine, dict.fromkeys(("uart", "can", "ble", "spi"), 0.1)) == []


@pytest.mark.parametrize("width", [40, 200])
def test_what_was_found_fits_the_terminal(monkeypatch: pytest.MonkeyPatch, width: int):
    monkeypatch.setenv("COLUMNS", str(width))
    found = Found(
        bus="can",
        port="can0",
        driver="gs_usb",
        usb={"vid_pid": "1d50:606f", "serial": "42", "product": "candleLight\x1b[31m"},
        state={"up": True, "fd": False, "bitrate_bps": 500_000},
        heard={"frames": 1000, "ids": [f"{number:03X}" for number in range(20)]},
        profiles=[Fit(f"profile-{number}", 90 - number, ["20 of 20 ids are its messages"]) for number in range(7)],
        note="something to do",
    )
    text = block(found)
    assert max(map(len, text.splitlines())) <= width
    assert "\x1b" not in text
    assert "500,000 bit/s" in " ".join(text.split())
    assert "and 2 more profiles" in " ".join(text.split())


def test_the_better_of_two_scores_stays():
    first, second = [Fit("a", 60, ["x"]), Fit("b", 10, [])], [Fit("a", 50, []), Fit("b", 90, ["y"])]
    assert [(fit.name, fit.score) for fit in better(first, second)] == [("b", 90), ("a", 60)]


def test_profiles_that_agree_in_their_settings_listen_together():
    profiles = [CompiledProfile(example_profile(SHIPPED[name])) for name in ("pms5003", "sds011", "ve-direct")]
    assert [str(setting) for setting in settings_of(profiles)] == ["9600 8N1", "19200 8N1"]
    assert Setting(9600, 7, "even", 1.5).__str__() == "9600 7E1.5"


@pytest.mark.parametrize(("heard", "silent"), [(b"", True), (b"\0\0\xff", True), (b"\0a", False)])
def test_noise_of_an_open_line_is_silence(heard: bytes, silent: bool):
    assert is_silent_line(heard) is silent


@pytest.mark.parametrize(
    ("told", "facts"),
    [
        (
            [{"linkinfo": {"info_data": {"state": "ERROR-ACTIVE", "bittiming": {"bitrate": 500000}}}}],
            {"bitrate_bps": 500000, "controller": "error-active"},
        ),
        ([{"linkinfo": {"info_kind": "vcan"}}], {}),
        ([], {}),
        ({"error": 1}, {}),
        ("x", {}),
    ],
)
def test_what_ip_tells_is_taken_as_far_as_it_goes(told: Any, facts: dict[str, Any]):
    assert facts_told(told) == facts


def test_a_profile_of_one_s_own_is_looked_for_too(tmp_path: Path):
    assert set(profiles_of("spi", ["motor"])) == {name for name, path in SHIPPED.items() if "/spi/" in str(path)} | {
        "motor"
    }


def test_the_command_gives_json_and_exits_1_where_nothing_is(monkeypatch: pytest.MonkeyPatch, machine: Machine):
    monkeypatch.setattr(scan_buses, "ROOT", machine.root)
    monkeypatch.setattr(Scan.__init__, "__kwdefaults__", {"probe": False, "root": machine.root})
    empty = CliRunner().invoke(command, ["--json", "--listen", "0"])
    assert (empty.exit_code, json.loads(empty.output)) == (1, [])
    machine.tty("ttyUSB0", machine.usb("1-1", "1546", "01a9"))
    result = CliRunner().invoke(command, ["uart", "--json", "--listen", "0"])
    assert result.exit_code == 0
    (row,) = json.loads(result.output)
    assert (row["port"], row["profiles"][0]["name"]) == ("/dev/ttyUSB0", "ublox-nav")
    plain = CliRunner().invoke(command, ["--listen", "0"])
    assert plain.stdout.startswith("uart /dev/ttyUSB0\n")
    assert "nothing on can, ble, spi" in plain.stderr
