"""The fixture `gateway` of the simulated rig, as tests of a board use it."""

from __future__ import annotations

import asyncio
import os
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest

from gateway.errors import UsageError
from hil.rigs.waiting import NotCameError

PROFILE = """
[profile]
id = "test/thermometer@1.0.0"
family = "climate"

[link]
bus = "uart"

[framing]
kind = "line"

[message.reading]
when = { length = "2" }
stale_after = "3s"
fields = [{ name = "temperature", type = "s16be", scale = 0.5, units = "Cel" }]
"""
ROUTE = "node/climate/temperature"
HOUR_S = 3600


def reading(half_degrees: int) -> bytes:
    return half_degrees.to_bytes(2, "big") + b"\n"


@pytest.fixture
def node(gateway: Any, tmp_path: Path) -> Any:
    (tmp_path / "thermometer.toml").write_text(PROFILE)
    gateway.add("node", profile=tmp_path / "thermometer.toml", port="uart0")
    return gateway


def test_what_the_device_sends_comes_as_a_value_with_its_unit(node: Any, uart: Any) -> None:
    uart.peer.send(reading(43))
    found = node.wait(ROUTE, timeout=1)
    assert (found.value, found.units, found.stale) == (21.5, "Cel", False)


def test_a_value_comes_when_its_last_bit_has(node: Any, uart: Any, clock: Any) -> None:
    uart.peer.send(reading(43))
    assert node.wait(ROUTE).t_ns == clock.monotonic_ns() == pytest.approx(30 * 1e9 / 115_200, abs=1)


def test_each_wait_gives_a_value_that_no_earlier_one_gave(node: Any, uart: Any) -> None:
    uart.peer.send(reading(43))
    first = node.wait(ROUTE).value
    uart.peer.send(reading(44))
    assert (first, node.wait(ROUTE).value) == (21.5, 22.0)


def test_get_gives_the_same_value_again(node: Any, uart: Any) -> None:
    uart.peer.send(reading(43))
    assert node.wait(ROUTE).value == node.get(ROUTE).value == node.get(ROUTE).value


def test_until_waits_for_a_value_that_is_good_enough(node: Any, uart: Any) -> None:
    count = iter(range(40, 80))
    uart.peer.every("100ms", lambda: reading(next(count)))
    assert node.wait(ROUTE, until=lambda value: value > 25).value == 25.5


def test_a_value_that_does_not_come_fails_the_test_and_says_what_is_known(node: Any, uart: Any) -> None:
    uart.peer.send(b"garbage\n")
    with pytest.raises(NotCameError, match=r"no new value in 2 s; it never came; node is CONNECTED.*1 of no message"):
        node.wait(ROUTE, timeout="2s")


def test_a_value_that_does_not_come_is_a_timeout_and_a_failed_assertion(node: Any) -> None:
    with pytest.raises(AssertionError) as failed:
        node.wait(ROUTE, timeout=0.1)
    assert isinstance(failed.value, TimeoutError)


def test_waiting_takes_as_long_as_was_asked_for(node: Any, clock: Any) -> None:
    with pytest.raises(NotCameError):
        node.wait(ROUTE, timeout=2.5)
    assert clock.monotonic_ns() == 2_500_000_000


def test_a_fault_on_the_bus_reaches_the_gateway(node: Any, uart: Any, faults: Any) -> None:
    faults.add("drop")
    uart.peer.send(reading(43))
    with pytest.raises(NotCameError):
        node.wait(ROUTE, timeout=1)


def test_an_unplugged_device_is_lost_and_found_again(node: Any, uart: Any, faults: Any, clock: Any) -> None:
    uart.peer.every("1s", reading(43))
    node.wait(ROUTE)
    unplugged = faults.add("unplug", bus="uart0")
    clock.sleep("5s")
    assert (node.device("node").state, node.get(ROUTE).stale) == ("ABSENT", True)
    unplugged.remove()
    assert node.wait(ROUTE, timeout=5).value == 21.5


@pytest.mark.parametrize(
    ("given", "match"),
    [
        ({"name": "node2", "profile": "cobs-nod", "port": "uart0"}, "did you mean 'cobs-node'"),
        ({"name": "node2", "profile": "cobs-node", "port": "uart1"}, "did you mean 'uart0'"),
        ({"name": "node2", "profile": "ruuvitag-df5", "port": "uart0"}, "cannot share"),
        ({"name": "node", "profile": "cobs-node", "port": "uart0"}, "already"),
        ({"name": "node2", "profile": "cobs-node"}, "give profile= and port="),
    ],
)
def test_a_device_that_cannot_be_is_refused_with_what_is_near(node: Any, given: dict[str, str], match: str) -> None:
    with pytest.raises(ValueError, match=match):
        node.add(**given)


def test_a_device_that_is_refused_leaves_the_others_as_they_were(node: Any, uart: Any) -> None:
    with pytest.raises(UsageError):
        node.add("node2", profile="ruuvitag-df5", port="uart0")
    uart.peer.send(reading(43))
    assert node.wait(ROUTE).value == 21.5


@pytest.mark.parametrize("port", ["can0", "power"])
def test_a_second_device_on_a_port_of_another_kind_is_refused_as_the_first_is(
    node: Any, uart: Any, tmp_path: Path, port: str
) -> None:
    with pytest.raises(ValueError, match=f"{port} cannot be set up"):
        node.add("other", profile=tmp_path / "thermometer.toml", port=port)
    with pytest.raises(ValueError, match="no device 'other'"):
        node.device("other")
    uart.peer.send(reading(43))
    assert node.wait(ROUTE, timeout=1).value == 21.5


def test_a_device_that_comes_later_is_heard_too(node: Any, uart: Any, tmp_path: Path) -> None:
    node.add("other", profile=tmp_path / "thermometer.toml", port="uart0")
    uart.peer.send(reading(43))
    assert node.wait("other/climate/temperature").value == 21.5


def test_a_route_that_is_none_names_the_nearest(node: Any) -> None:
    with pytest.raises(ValueError, match="did you mean 'node/climate/temperature'"):
        node.wait("node/climate/temperatur")


def test_a_gateway_without_devices_says_how_to_give_it_one(gateway: Any) -> None:
    with pytest.raises(ValueError, match="no device"):
        gateway.wait(ROUTE)


def test_what_a_run_exercised_of_a_profile_is_known(node: Any, uart: Any) -> None:
    before = node.covered["node"]["values"]
    uart.peer.send(reading(43))
    node.wait(ROUTE)
    assert (before["exercised"], node.covered["node"]["values"]) == (
        [],
        {"exercised": ["climate/temperature"], "all": ["climate/temperature"]},
    )


def test_the_ledger_is_written_and_a_full_disk_reaches_it(node: Any, uart: Any, faults: Any, clock: Any) -> None:
    count = iter(range(1000))
    uart.peer.every("1s", lambda: reading(next(count)))
    clock.sleep(10)
    mode = node.status()["ledger"]["mode"]
    faults.add("disk_full", duration="60s")
    clock.sleep(30)
    full = node.status()["ledger"]["mode"]
    clock.sleep(120)
    assert (mode, full, node.status()["ledger"]["openings"]) == ("recording", "memory", 2)


def test_a_jump_of_the_clock_reaches_the_gateway_and_makes_nothing_stale(
    node: Any, uart: Any, faults: Any, clock: Any
) -> None:
    uart.peer.every("1s", reading(43))
    node.wait(ROUTE)
    before_ns = clock.wall_ns()
    faults.add("clock_jump", by="1h")
    assert node.wait(ROUTE).stale is False
    assert clock.wall_ns() - before_ns > HOUR_S * 1e9


def test_a_day_of_a_device_passes_in_seconds(node: Any, uart: Any, faults: Any, clock: Any) -> None:
    uart.peer.every("1s", reading(43))
    states = []
    for hour in range(24):
        faults.add("unplug", bus="uart0", at=f"{60 * hour + 30}m", duration="2m")
        clock.sleep("31m")
        states.append((node.device("node").state, node.get(ROUTE).stale))
        clock.sleep("29m")
        states.append((node.device("node").state, node.get(ROUTE).stale))
    assert (clock.monotonic_ns(), states) == (86_400_000_000_000, [("ABSENT", True), ("CONNECTED", False)] * 24)


SEEDED = """
def test_it(gateway, uart, faults, clock, rig):
    gateway.add("node", profile="cobs-node", port="uart0")
    uart.peer.every("70ms", b"\\x05\\x01\\x02\\x03\\x04\\x00")
    faults.add("bit_flip", probability=0.3)
    faults.add("unplug", bus="uart0", at="3s", duration="700ms")
    clock.sleep("20s")
    print("HASH", rig.trace.hash)
"""


def hash_of(folder: Path, seed: int, hash_seed: str) -> str:
    (folder / "test_seeded.py").write_text(SEEDED)
    command = [sys.executable, "-m", "pytest", "-q", "-s", "-p", "no:cacheprovider", f"--hil-seed={seed}", str(folder)]
    env = {**os.environ, "PYTHONHASHSEED": hash_seed, "TIDEGATE_DATA": str(folder / "data")}
    done = subprocess.run(command, capture_output=True, text=True, check=False, cwd=folder, env=env, timeout=120)
    return next(line for line in done.stdout.splitlines() if "HASH" in line).partition("HASH ")[2]


def test_a_gateway_on_the_bus_leaves_the_trace_the_same_for_the_same_seed(tmp_path: Path) -> None:
    first = hash_of(tmp_path, 5, "1")
    assert (hash_of(tmp_path, 5, "2"), hash_of(tmp_path, 6, "1") == first) == (first, False)


def test_a_test_that_is_a_coroutine_has_a_gateway_too(gateway: Any, ble: Any) -> None:
    async def test() -> object:
        gateway.add("tag", profile="ruuvitag-df5", port="ble0")
        ble.peer.simulate("ruuvitag-df5", values={"temperature": 21.5})
        await asyncio.sleep(0)
        return gateway.wait("tag/climate/temperature").value

    assert asyncio.run(test()) == 21.5
