from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable
from pathlib import Path
from typing import Any

import pytest

from gateway.app import Gateway
from gateway.config import DeviceConfig, GatewayConfig, SiteConfig
from gateway.errors import ConfigError, RouteError, UsageError
from gateway.framing.cobs import stuff
from gateway.route import Route, RoutePattern, Variant
from tests.runtime.kit import COBS, reading, state


def log(folder: Path, bodies: list[bytes]) -> str:
    """Return the port text of a recording that plays `bodies`."""
    (folder / "log.bin").write_bytes(b"".join(stuff(body) + b"\0" for body in bodies))
    return f"replay:{folder / 'log.bin'}?speed=0"


def gateway_on(folder: Path, bodies: list[bytes], **tables: Any) -> Gateway:
    (folder / "node.toml").write_text(COBS.format(extra="", state=""))
    devices = {"node": DeviceConfig(profile="node.toml", port=log(folder, bodies))}
    return Gateway(SiteConfig(devices=devices, **tables), folder / "data", folder=folder)


def during(gateway: Gateway, scenario: Callable[[], Awaitable[Any]]) -> Any:
    async def run() -> Any:
        stop = asyncio.Event()
        async with asyncio.timeout(60), asyncio.TaskGroup() as group:
            group.create_task(gateway.run(stop))
            result = await scenario()
            stop.set()
        return result

    return asyncio.run(run())


async def until(condition: Callable[[], bool]) -> None:
    while not condition():  # noqa: ASYNC110 - what is awaited happens in the gateway under test
        await asyncio.sleep(0.005)


def played(gateway: Gateway, count: int) -> None:
    during(gateway, lambda: until(lambda: gateway.status()["devices"][0]["frames"]["delivered"] >= count))


def test_a_recording_becomes_the_latest_values_of_its_device(tmp_path: Path) -> None:
    gateway = gateway_on(tmp_path, [reading(10), state(20), reading(11)])
    played(gateway, 3)
    latest = {entry["message"]: entry for entry in gateway.queries.latest()}
    assert latest["reading"]["values"] == {"temperature": 5.5}
    assert latest["reading"]["units"] == {"temperature": "Cel"}
    assert latest["reading"]["seq"] == 2
    assert latest["reading"]["age"] >= 0
    assert "order.replayed" in latest["state"]["taints"]


def test_the_status_says_who_and_what_and_its_sum_holds(tmp_path: Path) -> None:
    gateway = gateway_on(tmp_path, [reading(10), b"\x09", state(1, const=8)], gateway=GatewayConfig(name="boiler-room"))
    played(gateway, 1)
    status = gateway.status()
    assert status["name"] == "boiler-room"
    assert status["boot"] == gateway.boot
    (device,) = status["devices"]
    assert device["frames"] == {"in": 3, "delivered": 1, "dropped": 0, "refused": 2, "pending": 0}
    assert device["state"] in {"CONNECTED", "DISCONNECTED"}
    assert status["ports"][0]["unknown"] == 1


def test_routes_carry_unit_last_value_and_age(tmp_path: Path) -> None:
    gateway = gateway_on(tmp_path, [reading(10)])
    played(gateway, 1)
    routes = {each["route"]: each for each in gateway.queries.overview(RoutePattern("*"))}
    assert set(routes) == {"node/climate/temperature", "node/health/load"}
    assert (routes["node/climate/temperature"]["value"], routes["node/climate/temperature"]["unit"]) == (5.0, "Cel")
    assert (routes["node/health/load"]["value"], routes["node/health/load"]["age"]) == (None, None)
    assert [each["route"] for each in gateway.queries.overview(RoutePattern("*/health"))] == ["node/health/load"]


def test_an_envelope_is_made_for_who_asks_for_one_value(tmp_path: Path) -> None:
    gateway = gateway_on(tmp_path, [reading(10), reading(11)])
    route = Route("node", "climate", "temperature")
    assert gateway.queries.envelope(route) is None
    played(gateway, 2)
    envelope = gateway.queries.envelope(route)
    assert envelope is not None
    assert (envelope.value, envelope.sequence, envelope.runtime) == (5.5, 2, gateway.boot)
    assert envelope.producer.startswith("replay:")
    assert envelope.wall_ns > 0
    assert gateway.queries.envelope(Route("node", "climate", "nothing")) is None
    assert gateway.queries.envelope(Route("node", "climate", "temperature", Variant.DESIRED)) is None


def test_the_time_that_a_device_tells_travels_with_its_values(tmp_path: Path) -> None:
    (tmp_path / "nmea.log").write_bytes(b"$GPRMC,123519.00,A,4807.038,N,01131.000,E,022.4,084.4,230394,003.1,W*44\r\n")
    port = f"replay:{tmp_path / 'nmea.log'}?speed=0"
    site = SiteConfig(devices={"gps": DeviceConfig(profile="nmea-gnss", port=port)})
    gateway = Gateway(site, tmp_path / "data")
    played(gateway, 1)
    envelope = gateway.queries.envelope(Route("gps", "position", "speed"))
    assert envelope is not None
    assert (envelope.value, envelope.device_time) == (22.4, "1994-03-23T12:35:19.000Z")


def test_devices_say_what_they_are(tmp_path: Path) -> None:
    (device,) = gateway_on(tmp_path, [reading(1)]).queries.devices()
    assert (device["name"], device["profile"], device["bus"]) == ("node", "test/node@1.0.0", "uart")
    assert device["messages"] == ["reading", "state"]


def test_watching_gives_the_records_as_they_come(tmp_path: Path) -> None:
    gateway = gateway_on(tmp_path, [reading(number) for number in range(5)])

    async def first_two() -> list[dict[str, Any]]:
        found: list[dict[str, Any]] = []
        async for record in gateway.queries.watch("node/climate"):
            found.append(record)
            if len(found) == 2:
                break
        return found

    assert [record["values"] for record in during(gateway, first_two)] == [{"temperature": 0.0}, {"temperature": 0.5}]


def test_a_pattern_that_is_none_is_refused_at_once(tmp_path: Path) -> None:
    gateway = gateway_on(tmp_path, [reading(1)])

    async def watch() -> None:
        async for _ in gateway.queries.watch("a/b/c/d"):
            raise AssertionError

    with pytest.raises(RouteError):
        asyncio.run(watch())


def test_two_gateways_in_one_folder_do_not_go(tmp_path: Path) -> None:
    first, second = gateway_on(tmp_path, [reading(1)]), gateway_on(tmp_path, [reading(1)])

    async def scenario() -> None:
        await until((tmp_path / "data" / "gateway.sock").exists)
        with pytest.raises(UsageError, match="another gateway"):
            await second.run(asyncio.Event())

    during(first, scenario)


def test_after_a_run_the_socket_is_gone_and_a_new_run_may_begin(tmp_path: Path) -> None:
    gateway = gateway_on(tmp_path, [reading(1)])
    played(gateway, 1)
    assert not (tmp_path / "data" / "gateway.sock").exists()
    played(gateway_on(tmp_path, [reading(1)]), 1)


def test_a_site_that_cannot_be_wired_is_refused_before_anything_is_opened(tmp_path: Path) -> None:
    with pytest.raises(ConfigError):
        Gateway(SiteConfig(devices={"x": DeviceConfig(profile="nothing", port="y")}), tmp_path / "data")
    assert not (tmp_path / "data").exists()
