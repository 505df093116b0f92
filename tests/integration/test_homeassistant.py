"""The whole gateway, a real mosquitto, and somebody who reads what Home Assistant reads, by its own rules."""

from __future__ import annotations

import asyncio
import json
import time
from collections.abc import Awaitable, Callable
from pathlib import Path
from typing import Any

import msgspec

from gateway.app import Gateway
from gateway.config import DeviceConfig, GatewayConfig, LedgerConfig, MqttConfig, SiteConfig, load_site
from hil.sim.rig import Rig
from tests.integration.test_ports import FarEnd
from tests.runtime.kit import reading
from tests.sinks.homeassistant.rules import problems, rendered
from tests.sinks.mqtt.kit import EVERYTHING, GRANTS, ROOT, Broker, Subscriber, during, needs_broker, until

pytestmark = needs_broker

HOME = "homeassistant/device/gw_{}/config"
TEMPERATURE = f"{ROOT}/node/climate/temperature"


def gateway_of(folder: Path, broker: Broker, *names: str, profile: str = EVERYTHING, **mqtt: Any) -> Gateway:
    (folder / "p.toml").write_text(profile)
    site = SiteConfig(
        gateway=GatewayConfig(name="gw"),
        devices={name: DeviceConfig(profile="p.toml", port=str(folder / name)) for name in names},
        ledger=LedgerConfig(footprint="small"),
        mqtt=MqttConfig(host="127.0.0.1", port=broker.port, **{"home_assistant": True, **mqtt}),
        grants=GRANTS,
    )
    return Gateway(site, folder / "data", folder=folder)


def configs(ear: Subscriber, device: str) -> list[Any]:
    """Return what was told of a device while somebody listened, in order; None where it was cleared."""
    found = [payload for topic, payload, was_there in ear.heard if topic == HOME.format(device) and not was_there]
    return [json.loads(payload) if payload else None for payload in found]


def retained(broker: Broker) -> dict[str, bytes]:
    """Return what whoever comes now finds of devices."""
    with Subscriber(broker.port) as ear:
        asyncio.run(until(lambda: any(topic == f"{ROOT}/birth" for topic, _, _ in ear.heard)))
        time.sleep(0.2)
        return {topic: payload for topic, payload, _ in ear.heard if "homeassistant" in topic}


def while_running(gateway: Gateway, broker: Broker, scenario: Callable[[Subscriber], Awaitable[Any]]) -> None:
    """Run a gateway with somebody who listened before it began."""
    with Subscriber(broker.port) as ear:
        during(gateway, lambda: scenario(ear))


def announced(gateway: Gateway, broker: Broker, *devices: str) -> Subscriber:
    """Run a gateway until these devices are announced; return who heard it."""
    with Subscriber(broker.port) as ear:
        during(gateway, lambda: until(lambda: all(any(configs(ear, device)) for device in devices)))
    return ear


def test_a_device_is_announced_as_home_assistant_wants_it_and_its_values_are_read_there(
    tmp_path: Path, broker: Broker
) -> None:
    far = FarEnd(tmp_path / "node")

    async def scenario(ear: Subscriber) -> None:
        await until(lambda: configs(ear, "node"))
        (told,) = configs(ear, "node")
        assert problems(HOME.format("node"), told) == []
        (temperature,) = [each for each in told["cmps"].values() if each.get("stat_t") == TEMPERATURE]
        assert (temperature["p"], temperature["unit_of_meas"]) == ("sensor", "°C")
        far.send(reading(43))
        await until(lambda: ear.on("node/climate/temperature"))
        payload = next(payload for topic, payload, _ in ear.heard if topic == TEMPERATURE)
        assert rendered(temperature["val_tpl"], payload) == "21.5"
        for each in told["avty"]:
            await until(lambda where=each["t"]: (where, b"online") in [(topic, body) for topic, body, _ in ear.heard])

    while_running(gateway_of(tmp_path, broker, "node"), broker, scenario)
    assert json.loads(retained(broker)[HOME.format("node")])["cmps"]


def test_it_is_told_again_when_home_assistant_says_that_it_is_there(tmp_path: Path, broker: Broker) -> None:
    async def scenario(ear: Subscriber) -> None:
        await until(lambda: len(configs(ear, "node")) == 1)
        ear.client.publish("homeassistant/status", "offline", qos=1)
        ear.client.publish("homeassistant/status", "online", qos=1)
        await until(lambda: len(configs(ear, "node")) == 2)
        first, again = configs(ear, "node")
        assert first == again
        await asyncio.sleep(2.2)
        assert len(configs(ear, "node")) == 2

    while_running(gateway_of(tmp_path, broker, "node"), broker, scenario)


def test_who_says_it_again_and_again_is_answered_once_a_second(tmp_path: Path, broker: Broker) -> None:
    async def scenario(ear: Subscriber) -> None:
        await until(lambda: len(configs(ear, "node")) == 1)
        for _ in range(2000):
            ear.client.publish("homeassistant/status", "online", qos=0)
        await asyncio.sleep(2.5)
        assert 2 <= len(configs(ear, "node")) <= 5

    while_running(gateway_of(tmp_path, broker, "node"), broker, scenario)


def test_a_device_gone_from_the_site_file_is_cleared_at_the_next_start(tmp_path: Path, broker: Broker) -> None:
    announced(gateway_of(tmp_path, broker, "node", "other"), broker, "node", "other")
    with Subscriber(broker.port) as ear:
        during(gateway_of(tmp_path, broker, "node"), lambda: until(lambda: configs(ear, "other")[-1:] == [None]))
    assert retained(broker).keys() == {HOME.format("node"), f"{ROOT}/node/@homeassistant"}


def test_that_does_not_depend_on_the_data_folder(tmp_path: Path, broker: Broker) -> None:
    announced(gateway_of(tmp_path, broker, "node", "other"), broker, "other")
    (tmp_path / "data").rename(tmp_path / "lost")
    with Subscriber(broker.port) as ear:
        during(gateway_of(tmp_path, broker, "node"), lambda: until(lambda: configs(ear, "other")[-1:] == [None]))


def test_devices_of_others_are_left_alone(tmp_path: Path, broker: Broker) -> None:
    with Subscriber(broker.port) as ear:
        foreign = HOME.format("west_pump")  # of a gateway that is called gw_west
        ear.client.publish(foreign, '{"dev": {}}', qos=1, retain=True).wait_for_publish(5)
    announced(gateway_of(tmp_path, broker, "node"), broker, "node")
    assert foreign in retained(broker)


def test_an_entity_that_a_profile_has_no_more_is_taken_back_within_its_device(tmp_path: Path, broker: Broker) -> None:
    announced(gateway_of(tmp_path, broker, "node"), broker, "node")
    changed = EVERYTHING.replace('name = "load"', 'name = "load_now"')
    ear = announced(gateway_of(tmp_path, broker, "node", profile=changed), broker, "node")
    told = configs(ear, "node")[-1]
    assert told["cmps"]["sensor_health_load"] == {"p": "sensor"}
    assert [each["name"] for each in told["cmps"].values() if "name" in each] == ["Temperature", "Load now"]
    note = json.loads(retained(broker)[f"{ROOT}/node/@homeassistant"])
    assert "sensor_health_load" not in note["sensor"]


def test_a_gateway_that_is_told_not_to_takes_everything_back(tmp_path: Path, broker: Broker) -> None:
    announced(gateway_of(tmp_path, broker, "node"), broker, "node")
    with Subscriber(broker.port) as ear:
        off = gateway_of(tmp_path, broker, "node", home_assistant=False)
        during(off, lambda: until(lambda: configs(ear, "node")[-1:] == [None]))
    assert retained(broker) == {}


def test_a_broker_that_forgot_everything_is_told_again(tmp_path: Path, broker: Broker) -> None:
    async def scenario(ear: Subscriber) -> None:
        await until(lambda: configs(ear, "node"))
        broker.kill()
        broker.start()
        known = len(configs(ear, "node"))
        await until(lambda: len(configs(ear, "node")) > known)

    while_running(gateway_of(tmp_path, broker, "node"), broker, scenario)


def test_a_reload_announces_what_changed_and_clears_what_is_gone(tmp_path: Path, broker: Broker) -> None:
    (tmp_path / "p.toml").write_text(EVERYTHING)

    def write(**devices: str) -> Path:
        file = tmp_path / "site.toml"
        tables = [f'[device.{name}]\nprofile = "p.toml"\nport = "{tmp_path}/{name}"\n{told}' for name, told in
                  devices.items()]  # fmt: skip
        mqtt = f'[mqtt]\nhost = "127.0.0.1"\nport = {broker.port}\nhome_assistant = true\n'
        file.write_text("\n".join(['[gateway]\nname = "gw"\n[ledger]\nfootprint = "small"\n', mqtt, *tables]))
        return file

    file = write(node="", other="")
    gateway = Gateway(load_site(file), tmp_path / "data", folder=tmp_path, file=file)

    async def scenario(ear: Subscriber) -> None:
        await until(lambda: configs(ear, "node") and configs(ear, "other"))
        write(node='label = "Boiler"\n', third="")
        answer = await gateway.reloader.reload("test", within_s=0)
        assert answer["outcome"] == "applied"
        await until(lambda: configs(ear, "other")[-1:] == [None] and configs(ear, "third"))
        assert configs(ear, "node")[-1]["dev"]["name"] == "Boiler"

    while_running(gateway, broker, scenario)


def on_rig(folder: Path, broker: Broker, scenario: Callable[[Subscriber], Awaitable[Any]]) -> None:
    async def run() -> None:
        with Rig(folder / "devices") as rig, Subscriber(broker.port) as ear:
            mqtt = MqttConfig(host="127.0.0.1", port=broker.port, home_assistant=True)
            site = msgspec.structs.replace(rig.site(), gateway=GatewayConfig(name="gw"), mqtt=mqtt, grants=GRANTS)
            gateway = Gateway(site, folder / "data")
            stop = asyncio.Event()
            async with asyncio.timeout(90), asyncio.TaskGroup() as group:
                living = group.create_task(rig.run())
                group.create_task(gateway.run(stop))
                try:
                    await scenario(ear)
                finally:
                    stop.set()
                    living.cancel()

    asyncio.run(run())


def ended(ear: Subscriber) -> list[str]:
    """Return how commands for the valve ended."""
    return [each["outcome"] for each in ear.on("node/node/valve@desired/result") if each["outcome"] is not None]


async def told_to(ear: Subscriber, topic: str, payload: str) -> None:
    """Send a command and wait until it has ended."""
    known = len(ended(ear))
    ear.client.publish(topic, payload, qos=1)
    await until(lambda: len(ended(ear)) > known)


def test_what_is_set_in_home_assistant_reaches_the_device_and_its_state_follows(tmp_path: Path, broker: Broker) -> None:
    async def scenario(ear: Subscriber) -> None:
        await until(lambda: configs(ear, "node"))
        told = configs(ear, "node")[-1]
        (valve,) = [each for each in told["cmps"].values() if each["p"] == "number"]
        assert (valve["min"], valve["max"], valve["step"]) == (0, 100, 0.5)

        def states() -> list[str]:
            payloads = [payload for topic, payload, _ in ear.heard if topic == valve["stat_t"]]
            return [rendered(valve["val_tpl"], payload) for payload in payloads]

        await until(lambda: [state for state in states() if state != "None"])
        while ended(ear)[-1:] != ["reported"]:  # on a busy machine the simulated device may be silent for a moment
            await told_to(ear, valve["cmd_t"], "40")
        await until(lambda: states()[-1] == "40.0")

    on_rig(tmp_path, broker, scenario)
