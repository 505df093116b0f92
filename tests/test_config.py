"""The site file: two tables of two lines make a site, and every mistake is told at once."""

from __future__ import annotations

from pathlib import Path

import pytest

from gateway.config import DeviceConfig, PortConfig, SiteConfig, data_dir, load_site, read_site, site_of_arguments
from gateway.errors import ConfigError, UsageError
from gateway.profile.model import LinkSpec

WHOLE = """\
[device.gps]
profile = "nmea-gnss"
port    = "/dev/serial/by-id/usb-u-blox_7-if00"

[gateway]
name = "boiler-room"
data = "/var/lib/tidegate"

[port.meters]
bus  = "uart"
path = "usb:0403:6001:A50285BI"
baud = 9600

[device.meter-1]
profile = "eastron/sdm120@1"
port    = "meters"
params  = { unit = 1 }
label   = "Heat pump"
area    = "Cellar"
adjust  = { current = { scale = 1.02 } }

[discover.ruuvi]
profile = "ruuvitag-df5"
port    = "hci0"

[ledger]
window = "5s"

[mqtt]
host     = "broker.local"
username = "boiler-room"
password = { credential = "mqtt" }

[http]
listen = "127.0.0.1:8080"

[grant.operator]
principal = "user:pi"
routes    = "pump/motor/*@desired"
verbs     = ["read", "write"]
"""


def problems_of(text: str) -> list[tuple[int, str]]:
    with pytest.raises(ConfigError) as caught:
        read_site("site.toml", text.encode())
    return [(problem.line, problem.key) for problem in caught.value.problems]


def test_a_whole_site_file_is_read(tmp_path: Path) -> None:
    file = tmp_path / "site.toml"
    file.write_text(WHOLE)
    site = load_site(file)
    assert site.gateway.name == "boiler-room"
    assert list(site.devices) == ["gps", "meter-1"]
    assert site.devices["meter-1"].params == {"unit": 1}
    assert site.devices["meter-1"].adjust["current"].scale == 1.02
    assert site.discover["ruuvi"].limit == 50
    assert site.mqtt is not None
    assert site.mqtt.password is not None
    assert site.mqtt.password.credential == "mqtt"
    assert site.grants["operator"].verbs == ["read", "write"]


def test_two_lines_make_a_site() -> None:
    site = read_site("site.toml", b'[device.gps]\nprofile = "nmea-gnss"\nport = "/dev/ttyACM0"\n')
    assert site.devices == {"gps": DeviceConfig(profile="nmea-gnss", port="/dev/ttyACM0")}


MISTAKES = [  # replace, by, the line it is told at, key
    ("[device.gps]", "[device.GPS]", "[device.GPS]", "device.GPS"),
    ('profile = "nmea-gnss"\n', "", "[device.gps]", "device.gps.profile"),
    ('port    = "meters"', "port    = 3", "port    = 3", "device.meter-1.port"),
    ("params  =", "parms  =", "parms", "device.meter-1.parms"),
    ("scale = 1.02", "scale = 0", "adjust", "device.meter-1.adjust.current.scale"),
    ("scale = 1.02", "scale = nan", "adjust", "device.meter-1.adjust.current.scale"),
    ("baud = 9600", "baud = 0", "baud", "port.meters.baud"),
    ('bus  = "uart"', 'bus  = "can"', "baud", "port.meters.baud"),
    ('bus  = "uart"', 'bus  = "usb"', "bus", "port.meters.bus"),
    ('port    = "hci0"', 'port    = "hci0"\nlimit = 0', "limit", "discover.ruuvi.limit"),
    ('window = "5s"', 'window = "-5s"', "window", "ledger.window"),
    ('window = "5s"', 'window = "0s"', "window", "ledger.window"),
    ('window = "5s"', 'ring = "lots"', "ring", "ledger.ring"),
    ('window = "5s"', 'unit = "0"', "unit", "ledger.unit"),
    ('window = "5s"', 'footprint = "tiny"', "footprint", "ledger.footprint"),
    ('window = "5s"', 'backend = "sqlite"\nsegment = "1MiB"', "segment", "ledger.segment"),
    ('window = "5s"', 'budget_per_day = "much"', "budget_per_day", "ledger.budget_per_day"),
    ('{ credential = "mqtt" }', '"s3cret"', "password", "mqtt.password"),
    ('{ credential = "mqtt" }', "{}", "password", "mqtt.password"),
    ('username = "boiler-room"\n', "", "password", "mqtt.password"),
    ('"broker.local"', '""', "host", "mqtt.host"),
    ('"broker.local"', '"broker.local"\nport = 70000', "port = 70000", "mqtt.port"),
    ('"broker.local"', '"broker.local"\nbase_topic = "plant/#"', "base_topic", "mqtt.base_topic"),
    ('"broker.local"', '"broker.local"\nbase_topic = ""', "base_topic", "mqtt.base_topic"),
    ('"broker.local"', '"broker.local"\nsparkplug = ""', "sparkplug", "mqtt.sparkplug"),
    ('"broker.local"', '"broker.local"\nsparkplug = "plant/1"', "sparkplug", "mqtt.sparkplug"),
    ('"broker.local"', '"broker.local"\nsparkplug = "plant+"', "sparkplug", "mqtt.sparkplug"),
    ('"broker.local"', '"broker.local"\nformat = "xml"', "format", "mqtt.format"),
    ('"broker.local"', '"broker.local"\nformat = "senml"\nhome_assistant = true', "home_as", "mqtt.home_assistant"),
    ('"broker.local"', '"broker.local"\nformat = "batch"\nhome_assistant = true', "home_as", "mqtt.home_assistant"),
    ('"broker.local"', '"broker.local"\ntls = true\nkey = "a.pem"', "key", "mqtt.key"),
    ('"broker.local"', '"broker.local"\nca = "a.pem"', "ca", "mqtt.ca"),
    ('window = "5s"', "enabled = false", "[mqtt]", "mqtt"),
    ('name = "boiler-room"', 'name = "boiler/room"', "name", "gateway.name"),
    ('name = "boiler-room"', 'name = "boiler+"', "name", "gateway.name"),
    ('name = "boiler-room"', 'name = "boiler\\u0007"', "name", "gateway.name"),
    ('listen = "127.0.0.1:8080"', 'listen = "somewhere"', "listen", "http.listen"),
    ('listen = "127.0.0.1:8080"', 'listen = "0.0.0.0:8080"', "listen", "http.listen"),
    ('listen = "127.0.0.1:8080"', "max_body = 5", "max_body", "http.max_body"),
    ('listen = "127.0.0.1:8080"', 'tls_cert = "c.pem"', "tls_cert", "http.tls_cert"),
    ('name = "boiler-room"', 'name = "boiler/room"', "name", "gateway.name"),
    ('name = "boiler-room"', 'name = "boiler\\u0007"', "name", "gateway.name"),
    ('"read", "write"', '"read", "wrte"', "verbs", "grant.operator.verbs[1]"),
    ('"pump/motor/*@desired"', '"a/b/c/d"', "routes", "grant.operator.routes"),
    ('"pump/motor/*@desired"', '"pump"', "routes", "grant.operator.routes"),
    ('"pump/motor/*@desired"', '"pump/motor/*@wanted"', "routes", "grant.operator.routes"),
    ('"user:pi"', '"pi"', "principal", "grant.operator.principal"),
    ('"user:pi"', '"user:*"', "principal", "grant.operator.principal"),
    ('["read", "write"]', "[]", "verbs", "grant.operator.verbs"),
    ('["read", "write"]', '["read", "control"]', "verbs", "grant.operator.verbs[1]"),
    ('["read", "write"]', '["read"]\nexpires = "soon"', "expires", "grant.operator.expires"),
    ('["read", "write"]', '["read"]\nexpires = 2027-01-31', "expires", "grant.operator.expires"),
    ("[ledger]", "[leger]", "[leger]", "leger"),
]


@pytest.mark.parametrize(("old", "new", "place", "key"), MISTAKES, ids=[f"{row[3]} {row[1]}" for row in MISTAKES])
def test_a_mistake_is_told_with_line_and_key(old: str, new: str, place: str, key: str) -> None:
    assert old in WHOLE
    text = WHOLE.replace(old, new, 1)
    line = next(number for number, content in enumerate(text.split("\n"), 1) if content.startswith(place))
    assert (line, key) in problems_of(text)


def test_all_mistakes_come_at_once() -> None:
    text = WHOLE.replace("baud = 9600", 'baud = "fast"').replace('"5s"', '"5 s"').replace("routes ", "rotes ")
    assert [key for _, key in problems_of(text)] == [
        "port.meters.baud",
        "ledger.window",
        "grant.operator.routes",
        "grant.operator.rotes",
    ]


def test_a_secret_in_the_file_is_refused_and_not_repeated() -> None:
    with pytest.raises(ConfigError) as caught:
        read_site("site.toml", WHOLE.replace('{ credential = "mqtt" }', '"s3cret"').encode())
    assert "s3cret" not in str(caught.value)


@pytest.mark.parametrize(
    "data", [b"\xff", b"x" * 5_000_000, b"[[[[", b"a = 1\na = 2\n"], ids=["no text", "5 MB", "no TOML", "key twice"]
)
def test_what_is_no_toml_is_one_problem(data: bytes) -> None:
    with pytest.raises(ConfigError) as caught:
        read_site("site.toml", data)
    assert len(caught.value.problems) == 1


def test_a_missing_site_file_is_a_problem_without_a_line(tmp_path: Path) -> None:
    with pytest.raises(ConfigError, match="cannot be read"):
        load_site(tmp_path / "none.toml")


def test_arguments_spell_a_site() -> None:
    site = site_of_arguments(["gps=nmea-gnss@/dev/ttyACM0", "eastron/sdm120@1@usb:0403:6001", "./a/Pump.dbc@can0"])
    assert {name: (device.profile, device.port) for name, device in site.devices.items()} == {
        "gps": ("nmea-gnss", "/dev/ttyACM0"),
        "sdm120": ("eastron/sdm120@1", "usb:0403:6001"),
        "pump": ("./a/Pump.dbc", "can0"),
    }


@pytest.mark.parametrize(
    "arguments", [["gps"], ["gps=nmea"], ["=x@y"], ["G P=x@y"], ["a=x@"], ["a=@y"], ["a=x@1", "a=y@2"]]
)
def test_an_argument_that_is_no_device_is_bad_usage(arguments: list[str]) -> None:
    with pytest.raises(UsageError):
        site_of_arguments(arguments)


def test_the_data_folder_comes_from_option_then_environment_then_site(monkeypatch: pytest.MonkeyPatch) -> None:
    site = read_site("site.toml", b'[gateway]\ndata = "/from/site"\n')
    monkeypatch.setenv("TIDEGATE_DATA", "/from/environment")
    assert data_dir("/from/option", site) == Path("/from/option")
    assert data_dir(None, site) == Path("/from/environment")
    monkeypatch.setenv("TIDEGATE_DATA", "")
    assert data_dir(None, site) == Path("/from/site")
    monkeypatch.setenv("XDG_STATE_HOME", "/state")
    assert data_dir(None, SiteConfig()) == Path("/state/tidegate")
    monkeypatch.setenv("XDG_STATE_HOME", "relative")
    monkeypatch.setenv("HOME", "/home/pi")
    assert data_dir() == Path("/home/pi/.local/state/tidegate")


def test_a_port_overrides_the_electrical_keys_of_a_profile() -> None:
    link = LinkSpec(bus="uart", baud=2400, rs485=True)
    port = PortConfig(path="/dev/x", bus="uart", baud=9600, parity="even")
    assert port.applied_to(link) == LinkSpec(bus="uart", baud=9600, rs485=True, parity="even")


def test_a_port_named_almost_like_a_table_is_warned_of(caplog: pytest.LogCaptureFixture) -> None:
    read_site("site.toml", WHOLE.replace('port    = "meters"', 'port    = "meter"').encode())
    assert "site.toml:16: device.meter-1.port: warning: no [port.meter]" in caplog.text
    assert "did you mean 'meters'?" in caplog.text


def test_a_value_where_a_table_of_tables_belongs_is_a_problem_and_no_fault_of_ours() -> None:
    assert problems_of('device = 5\nport = "x"\ndiscover = [1]\n') == [(1, "device"), (2, "port"), (3, "discover")]


def test_a_credential_is_a_name_and_no_path() -> None:
    text = '[device.a]\nprofile = "bthome"\nport = "hci0"\nparams = { key = { credential = "../x" } }\n'
    assert problems_of(text) == [(4, "device.a.params.key.credential")]
