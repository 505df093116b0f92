from __future__ import annotations

import asyncio
from collections import deque

import pytest

from gateway.app import Gateway
from hil.sim.rig import Rig
from hil.snapshot import EVERYTHING, LineMaker, Observer


@pytest.fixture(scope="module")
def seen(tmp_path_factory):
    """Two seconds of the whole rig: the last snapshot, and the plain lines of the way there."""
    folder = tmp_path_factory.mktemp("rig")

    async def scenario():
        with Rig(folder / "devices") as rig:
            gateway = Gateway(rig.site(), folder)
            observer, maker, lines = Observer(gateway, "hint", deque(["event"])), LineMaker(), []
            stop = asyncio.Event()
            async with asyncio.TaskGroup() as group:
                group.create_task(gateway.run(stop))
                living = group.create_task(rig.run())
                for _ in range(10):
                    await asyncio.sleep(0.2)
                    lines += maker.lines(gateway.queries.overview(EVERYTHING), asyncio.get_running_loop().time())
                    snapshot = observer.look()
                stop.set()
                living.cancel()
        return snapshot, lines

    return asyncio.run(scenario())


def test_four_devices_are_connected_and_speak(seen):
    snapshot, _ = seen
    assert {panel.name: panel.state for panel in snapshot.panels} == dict.fromkeys(
        ["node", "gps", "pump", "tag"], "CONNECTED"
    )
    assert all(panel.frames_per_s > 0 for panel in snapshot.panels)
    assert all(panel.dropped == panel.refused == 0 for panel in snapshot.panels)


def test_every_device_has_values_with_units_and_ages(seen):
    snapshot, _ = seen
    units = {panel.name: {value.name: value.unit for value in panel.values} for panel in snapshot.panels}
    assert units["node"]["temperature"] == "Cel"
    assert units["node"]["identity/firmware"] == "1"
    assert units["gps"]["latitude"] == "deg"
    assert units["pump"]["speed"] == "/min"
    assert units["tag"]["health/rssi"] == "dBm"
    assert all(value.age_s is not None for panel in snapshot.panels for value in panel.values)


def test_plain_lines_are_time_route_value_unit_and_each_route_at_most_once_a_second(seen):
    _, lines = seen
    assert not [line for line in lines if "\x1b" in line]
    routes = [line.split()[1] for line in lines]
    assert {"node/node/temperature", "gps/position/utc", "pump/motor/speed", "tag/climate/humidity"} <= set(routes)
    assert max(routes.count(route) for route in routes) <= 2
    temperature = next(line.split() for line in lines if "node/node/temperature" in line)
    assert len(temperature) == 4
    assert float(temperature[2]) == pytest.approx(20, abs=3)
    assert temperature[3] == "Cel"


def test_a_number_keeps_its_decimals(tmp_path):
    with Rig(tmp_path / "devices") as rig:
        observer = Observer(Gateway(rig.site(), tmp_path), "", deque())
        texts = [observer._text("a/b/c", value) for value in (20.41, 20.4, 5.1000000000000005, 1e-9, 21.0)]
    assert texts == ["20.41", "20.40", "5.10", "1e-09", "21.00"]
