from __future__ import annotations

from pathlib import Path

import pytest

from gateway.clock import Clock
from gateway.config import SiteConfig, read_site
from gateway.errors import ConfigError, DriverError, PortOptionError, ProfileError
from gateway.port import CanFilter, Port
from gateway.profile.model import LinkSpec
from gateway.runtime.supervisor import Keeper
from gateway.testing import FakeClock, ScriptedPort
from tests.runtime.kit import BEACON, CAN, COBS
from tests.runtime.wired import wired as fitted


class Drivers:
    """Makes scripted ports and keeps what was asked for."""

    name = "scripted"

    def __init__(self) -> None:
        self.asked: list[tuple[str, LinkSpec]] = []

    def __call__(self, target: str, bus: str) -> Drivers:
        if target == "nodriver":
            raise DriverError("no driver; run: pip install x")
        return self

    def make(self, target: str, link: LinkSpec, clock: Clock) -> Port:
        if target == "never":
            raise PortOptionError(target, "can never be")
        self.asked.append((target, link))
        return ScriptedPort(target, [], is_stream=link.bus == "uart", clock=clock)

    def claims(self, target: str, bus: str) -> bool:
        return True


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    (tmp_path / "node.toml").write_text(COBS.format(extra="", state=""))
    (tmp_path / "can.toml").write_text(CAN.format(id=1))
    (tmp_path / "beacon.toml").write_text(BEACON)
    (tmp_path / "line.toml").write_text(
        '[profile]\nid = "t/line@1.0.0"\n[link]\nbus = "uart"\n[framing]\nkind = "line"\n'
        '[message.m]\nformat = "csv"\nfields = [{ name = "x", column = 0, type = "number" }]\n'
    )
    (tmp_path / "wrong.toml").write_text("[profile]\nid = 5\n")
    return tmp_path


def site(text: str) -> SiteConfig:
    return read_site("site.toml", text.encode())


def wired(folder: Path, text: str) -> tuple[list[Keeper], Drivers]:
    drivers = Drivers()
    return fitted(site(text), folder, FakeClock(), drivers), drivers


def device(name: str, profile: str, port: str, more: str = "") -> str:
    return f'[device.{name}]\nprofile = "{profile}.toml"\nport = "{port}"\n{more}\n'


def problems(folder: Path, text: str) -> list[tuple[str, str]]:
    with pytest.raises(ConfigError) as caught:
        wired(folder, text)
    return [(each.key, each.message) for each in caught.value.problems]


def test_devices_with_the_same_port_share_it(folder: Path) -> None:
    keepers, drivers = wired(
        folder, device("a", "can", "can0") + device("b", "can", "can0") + device("c", "can", "can1")
    )
    assert [[each.name for each in keeper.devices] for keeper in keepers] == [["a", "b"], ["c"]]
    assert [target for target, _ in drivers.asked] == ["can0", "can1"]


def test_a_named_port_gives_its_path_and_overrides_the_profile(folder: Path) -> None:
    text = (
        '[port.meters]\npath = "/dev/x"\nbaud = 115200\n'
        + device("a", "node", "meters")
        + device("b", "node", "meters")
    )
    keepers, drivers = wired(folder, text)
    assert [(target, link.baud) for target, link in drivers.asked] == [("/dev/x", 115200)]
    assert keepers[0].name == "meters"


def test_one_profile_with_the_same_parameters_is_compiled_once(folder: Path) -> None:
    keepers, _ = wired(folder, device("a", "node", "x") + device("b", "node", "y"))
    assert keepers[0].devices[0].profile is keepers[1].devices[0].profile


def test_everything_that_cannot_be_is_told_at_once(folder: Path) -> None:
    text = (
        device("a", "node", "x")
        + device("b", "line", "x")
        + device("c", "missing", "y")
        + device("d", "node", "p")
        + device("e", "node", "z", "adjust = { nothing = { scale = 2 } }")
        + '[port.p]\npath = "can0"\nbus = "can"\n'
    )
    found = dict(problems(folder, text))
    assert set(found) == {"device.b.port", "device.c.profile", "device.d.port", "device.e.adjust.nothing"}
    assert "framings differ" in found["device.b.port"]


def test_two_serial_devices_on_one_wire_must_agree_how_fast_it_is(folder: Path) -> None:
    fast = (folder / "node.toml").read_text().replace('bus = "uart"', 'bus = "uart"\nbaud = 57600')
    (folder / "fast.toml").write_text(fast)
    found = problems(folder, device("a", "node", "x") + device("b", "fast", "x"))
    assert found[0][0] == "device.b.port"
    assert "links differ" in found[0][1]


def test_buses_do_not_mix_on_one_port(folder: Path) -> None:
    found = problems(folder, device("a", "can", "x") + device("b", "beacon", "x"))
    assert "one is on can, the other on ble" in found[0][1]


def test_a_site_without_devices_says_what_to_write(folder: Path) -> None:
    assert problems(folder, "") == [("device", "no device; write [device.NAME] with profile and port")]


def test_a_profile_that_is_wrong_comes_with_its_own_lines(folder: Path) -> None:
    with pytest.raises(ProfileError) as caught:
        wired(folder, device("a", "wrong", "x"))
    assert caught.value.problems[0].file.endswith("wrong.toml")


def test_a_parameter_that_the_site_gives_wrongly_is_told_at_its_key_in_the_site(folder: Path) -> None:
    head = COBS.format(extra="", state="").replace("[link]", '[params]\nunit = { type = "u8" }\n[link]')
    (folder / "param.toml").write_text(head)
    text = device("a", "param", "x") + device("b", "param", "x", "params = { unit = 300, other = 1 }")
    assert [key for key, _ in problems(folder, text)] == [
        "device.a.params.unit",
        "device.b.params.other",
        "device.b.params.unit",
    ]


def test_a_port_that_cannot_be_made_stops_no_other(folder: Path) -> None:
    keepers, _ = wired(
        folder, device("a", "node", "x") + device("b", "node", "never") + device("c", "node", "nodriver")
    )
    assert [type(keeper.fault) for keeper in keepers] == [type(None), PortOptionError, DriverError]


def test_where_no_port_at_all_can_be_made_the_reason_is_raised(folder: Path) -> None:
    with pytest.raises(DriverError, match="pip install"):
        wired(folder, device("a", "node", "nodriver"))


def test_values_of_a_recording_are_marked_as_replayed(folder: Path) -> None:
    keepers, _ = wired(folder, device("a", "node", "replay:log.bin") + device("b", "node", "x"))
    taints = [keeper._make_pipeline(keeper.port, keeper.counts)._taints for keeper in keepers]
    assert taints[0] != 0
    assert taints[1] == 0


GATT = '[profile]\nid = "t/gatt@1.0.0"\n[link]\nbus = "ble"\nmode = "gatt"\nmatch = { service = "180f" }\n'
GATT += '[message.m]\nask = { characteristic = "2a19" }\nfields = [{ name = "x", type = "u8" }]\n'
SPI = '[profile]\nid = "t/spi@1.0.0"\n[link]\nbus = "spi"\n'
SPI += '[message.m]\nask = { register = 0, length = 1 }\nfields = [{ name = "x", type = "u8" }]\n'


def test_every_connection_is_a_wire_of_its_own_beside_the_advertisements_of_its_adapter(folder: Path) -> None:
    (folder / "gatt.toml").write_text(GATT)
    text = device("a", "gatt", "hci0") + device("b", "gatt", "hci0") + device("c", "beacon", "hci0")
    keepers, drivers = wired(folder, text + device("d", "beacon", "hci0"))
    assert [[each.name for each in keeper.devices] for keeper in keepers] == [["a"], ["b"], ["c", "d"]]
    assert [target for target, _ in drivers.asked] == ["hci0", "hci0", "hci0"]
    assert [link.mode for _, link in drivers.asked] == ["gatt", "gatt", "advertisement"]


def test_a_chip_select_has_one_device(folder: Path) -> None:
    (folder / "spi.toml").write_text(SPI)
    found = problems(folder, device("a", "spi", "/dev/spidev0.0") + device("b", "spi", "/dev/spidev0.0"))
    assert found == [
        ("device.b.port", "cannot share /dev/spidev0.0 with a: a chip select has one device"),
    ]


def test_one_profile_that_wants_every_advertisement_gets_it_for_its_adapter(folder: Path) -> None:
    (folder / "all.toml").write_text(
        BEACON.replace('mode = "advertisement"', 'mode = "advertisement"\nduplicates = "all"')
    )
    _, drivers = wired(folder, device("a", "beacon", "hci0") + device("b", "all", "hci0"))
    assert [link.duplicates for _, link in drivers.asked] == ["all"]


def test_a_port_that_can_leave_out_is_told_what_is_wanted(folder: Path) -> None:
    told: list[object] = []

    class Filtering(ScriptedPort):
        def listen_for(self, wanted: object) -> bool:
            told.append(wanted)
            return True

    class FilteringDrivers(Drivers):
        def make(self, target: str, link: LinkSpec, clock: Clock) -> Port:
            return Filtering(target, [], is_stream=False, clock=clock)

    fitted(site(device("a", "can", "can0")), folder, FakeClock(), FilteringDrivers())
    assert told == [[CanFilter(1, 0xFFFFFFFF)]]


SEALED = (
    '[profile]\nid = "t/sealed@1.0.0"\n[params]\nkey = { type = "key" }\n[link]\nbus = "ble"\nmode = "advertisement"\n'
)
SEALED += 'cipher = "bthome2"\nkey = "{key}"\n[message.m]\nwhen = { service = "fcd2" }\n'
SEALED += 'fields = [{ name = "x", type = "u8" }]\n'
KEY = "231d39c1d7cc1ab1aee224cd096db932"


def test_a_key_written_into_the_site_is_refused_without_being_repeated(folder: Path) -> None:
    (folder / "sealed.toml").write_text(SEALED)
    found = problems(folder, device("a", "sealed", "hci0", f'params = {{ key = "{KEY}" }}'))
    assert [key for key, _ in found] == ["device.a.params.key"]
    assert KEY not in found[0][1]


def test_a_key_comes_from_the_file_that_the_site_names(folder: Path) -> None:
    (folder / "sealed.toml").write_text(SEALED)
    (folder / "a.key").write_text(f"{KEY}\n")
    keepers, _ = wired(folder, device("a", "sealed", "hci0", 'params = { key = { file = "a.key" } }'))
    assert keepers[0].devices[0].profile.profile.link.key == KEY


def test_a_key_comes_from_a_credential_of_systemd(folder: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    (folder / "sealed.toml").write_text(SEALED)
    (folder / "bt").write_text(KEY)
    monkeypatch.setenv("CREDENTIALS_DIRECTORY", str(folder))
    keepers, _ = wired(folder, device("a", "sealed", "hci0", 'params = { key = { credential = "bt" } }'))
    assert keepers[0].devices[0].profile.profile.link.key == KEY


@pytest.mark.parametrize("content", [None, b"\xff\xfe", b"x" * 5000, b"not hex", b"0011"])
def test_a_key_file_that_is_none_is_a_problem_of_the_site(folder: Path, content: bytes | None) -> None:
    (folder / "sealed.toml").write_text(SEALED)
    if content is not None:
        (folder / "a.key").write_bytes(content)
    found = problems(folder, device("a", "sealed", "hci0", 'params = { key = { file = "a.key" } }'))
    assert len(found) == 1
    assert found[0][0].startswith("device.a.")
