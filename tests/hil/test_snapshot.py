from __future__ import annotations

import asyncio
from collections import deque

import pytest

from gateway.app import Gateway
from hil.sim.rig import Rig
from hil.snapshot import EVERYTHING, LineMaker, Observer
from tests.waiting import WITHIN_S

UNITS = {
    "node": {"temperature": "Cel", "identity/firmware": "1"},
    "gps": {"latitude": "deg"},
    "pump": {"speed": "/min"},
    "tag": {"health/rssi": "dBm"},
}
ROUTES = ["node/node/temperature", "gps/position/utc", "pump/motor/speed", "tag/climate/humidity"]


@pytest.fixture(scope="module")
def seen(tmp_path_factory):
    """The whole rig until it stands: the last snapshot, the plain lines of the way there, and how long that was."""
    folder = tmp_path_factory.mktemp("rig")

    async def scenario():
        with Rig(folder / "devices") as rig:
            gateway = Gateway(rig.site(), folder)
            observer, maker, lines = Observer(gateway, "hint", deque(["event"])), LineMaker(), []
            snapshot = observer.look()
            stop = asyncio.Event()
            times_s = []
            async with asyncio.timeout(2 * WITHIN_S), asyncio.TaskGroup() as group:
                group.create_task(gateway.run(stop))
                living = group.create_task(rig.run())
                while len(times_s) < 10 or not stands(snapshot, lines):
                    await asyncio.sleep(0.2)
                    times_s.append(asyncio.get_running_loop().time())
                    lines += maker.lines(gateway.queries.overview(EVERYTHING), times_s[-1])
                    snapshot = observer.look()
                stop.set()
                living.cancel()
        return snapshot, lines, times_s[-1] - times_s[0]

    return asyncio.run(scenario())


def stands(snapshot, lines):
    """Whether a machine, busy as it may be, has come to what the tests look at."""
    units = {(panel.name, value.name) for panel in snapshot.panels for value in panel.values}
    return (
        all(panel.state == "CONNECTED" and panel.frames_per_s > 0 for panel in snapshot.panels)
        and {(device, name) for device in UNITS for name in UNITS[device]} <= units
        and set(ROUTES) <= {line.split()[1] for line in lines}
    )


def test_four_devices_are_connected_and_speak(seen):
    snapshot, *_ = seen
    assert {panel.name: panel.state for panel in snapshot.panels} == dict.fromkeys(
        ["node", "gps", "pump", "tag"], "CONNECTED"
    )
    assert all(panel.frames_per_s > 0 for panel in snapshot.panels)
    assert all(panel.dropped == panel.refused == 0 for panel in snapshot.panels)


def test_every_device_has_values_with_units_and_ages(seen):
    snapshot, *_ = seen
    units = {panel.name: {value.name: value.unit for value in panel.values} for panel in snapshot.panels}
    assert {device: {name: units[device][name] for name in UNITS[device]} for device in UNITS} == UNITS
    assert all(value.age_s is not None for panel in snapshot.panels for value in panel.values)


def test_plain_lines_are_time_route_value_unit_and_each_route_at_most_once_a_second(seen):
    _, lines, took_s = seen
    assert not [line for line in lines if "\x1b" in line]
    routes = [line.split()[1] for line in lines]
    assert set(routes) >= set(ROUTES)
    assert max(routes.count(route) for route in routes) <= 1 + int(took_s)
    temperature = next(line.split() for line in lines if "node/node/temperature" in line)
    assert len(temperature) == 4
    assert float(temperature[2]) == pytest.approx(20, abs=3)
    assert temperature[3] == "Cel"


def test_a_number_keeps_its_decimals(tmp_path):
    with Rig(tmp_path / "devices") as rig:
        observer = Observer(Gateway(rig.site(), tmp_path), "", deque())
        texts = [observer._text("a/b/c", value) for value in (20.41, 20.4, 5.1000000000000005, 1e-9, 21.0)]
    assert texts == ["20.41", "20.40", "5.10", "1e-09", "21.00"]
