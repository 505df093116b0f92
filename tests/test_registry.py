from __future__ import annotations

import subprocess
import sys
from importlib.metadata import EntryPoint

import pytest

import gateway.registry as registry
from gateway.errors import DriverError
from gateway.profile.load import find_profile, load_profile
from gateway.registry import (
    TRANSFORMS,
    driver_for,
    drivers,
    load_driver,
    load_transform,
    require,
    transforms,
    transforms_of,
)

GROUP = "gateway.drivers"


def test_the_built_in_drivers_come_by_entry_point():
    found = drivers()
    assert {"uart", "can", "replay"} <= found.keys()
    assert [found[name].name for name in ("uart", "can", "replay")] == ["uart", "can", "replay"]


@pytest.mark.parametrize(
    ("target", "bus", "name"),
    [
        ("/dev/ttyUSB0", "uart", "uart"),
        ("socket://127.0.0.1:1", "uart", "uart"),
        ("usb:0403:6001", "uart", "uart"),
        ("can0", "can", "can"),
        ("virtual:demo", "can", "can"),
        ("replay:trip.asc", "can", "replay"),
        ("replay:gnss.nmea?speed=0", "uart", "replay"),
        ("replay:tags.jsonl", "ble", "replay"),
    ],
)
def test_a_port_text_finds_its_driver(target, bus, name):
    assert driver_for(target, bus).name == name


@pytest.mark.parametrize(
    "value",
    ["no_such_module:DRIVER", "drivers.uart:NO_SUCH_NAME", "gateway.errors:DriverError", "tests_break:DRIVER"],
)
def test_a_broken_plugin_is_an_error_value(value):
    error = load_driver(EntryPoint("strange", value, GROUP))
    assert isinstance(error, DriverError)
    assert "'strange'" in str(error)
    assert value in str(error)


def test_a_broken_plugin_does_not_stop_the_others(monkeypatch):
    working = {entry.name: entry for entry in [EntryPoint("uart", "drivers.uart:DRIVER", GROUP)]}
    broken = {"aaa": EntryPoint("aaa", "no_such_module:DRIVER", GROUP)}
    monkeypatch.setattr(registry, "_entries", lambda: broken | working)
    found = drivers()
    assert isinstance(found["aaa"], DriverError)
    assert found["uart"].name == "uart"
    assert driver_for("/dev/ttyUSB0", "uart").name == "uart"


def test_a_broken_plugin_is_named_when_nothing_else_claims_the_port(monkeypatch):
    monkeypatch.setattr(registry, "_entries", lambda: {"lora": EntryPoint("lora", "no_such_module:D", GROUP)})
    with pytest.raises(DriverError, match=r"'lora'.*is broken.*no_such_module"):
        driver_for("hat0", "lora")


def test_a_missing_library_is_one_line_with_the_install_command():
    with pytest.raises(DriverError) as caught:
        require("no_such_library.tools", "can")
    assert str(caught.value) == "no_such_library is not installed; run: pip install 'tidegate[can]'"


def test_spi_has_a_driver_also_without_its_library(monkeypatch):
    monkeypatch.setitem(sys.modules, "spidev", None)
    assert driver_for("/dev/spidev0.0", "spi").name == "spi"


def test_a_bus_without_a_driver_points_to_replay():
    with pytest.raises(DriverError, match=r"no driver for bus 'lora'.*replay:FILE"):
        driver_for("hat0", "lora")


def test_finding_drivers_imports_no_hardware_library():
    code = (
        "import sys\n"
        "import gateway.registry\n"
        "assert not any(name.startswith('drivers') for name in sys.modules)\n"
        "gateway.registry.drivers()\n"
        "print(sorted({'serial', 'can', 'cantools', 'construct'} & set(sys.modules)))\n"
    )
    answer = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert answer.stdout.strip() == "[]"


def test_a_profile_gets_the_transforms_it_uses_and_no_other():
    assert set(transforms_of(load_profile(find_profile("bme280")))) == {"bosch-bme280"}
    assert transforms_of(load_profile(find_profile("pms5003"))) == {}


@pytest.mark.parametrize("value", ["nowhere.at:all", "gateway.registry:NOTHING", "gateway.registry:TRANSFORMS"])
def test_a_broken_plugin_is_told_and_left_out(value, caplog):
    assert load_transform(EntryPoint("odd", value, TRANSFORMS)) is None
    assert "'odd'" in caplog.text
    assert value in caplog.text


def test_installed_transforms_can_all_be_loaded(caplog):
    assert "bosch-bme280" in transforms()
    assert caplog.text == ""
