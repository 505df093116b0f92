"""Layer 7: the message that makes a device known to Home Assistant: device-based MQTT discovery. Pure.

Source: homeassistant/components/mqtt/schemas.py (`DEVICE_DISCOVERY_SCHEMA`) and discovery.py of Home Assistant 2026.11;
the integration's page "MQTT", sections "Device discovery payload" and "Removing a component".
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterator, Mapping
from importlib.metadata import version
from typing import Any, Final, NamedTuple

from gateway.profile.setpoint import Setpoint
from gateway.runtime.device import Device
from gateway.runtime.shadows import Twin
from gateway.sinks.homeassistant.entities import Entity, Field, control, sensor
from gateway.sinks.homeassistant.names import object_id, titled, unique
from gateway.sinks.mqtt.topics import Topics

PREFIX: Final = "homeassistant"  # where Home Assistant listens unless it is told otherwise
STATUS: Final = f"{PREFIX}/status"  # where it says that it is there
_QOS: Final = 1  # of its subscriptions and its commands

Components = Mapping[str, str]  # from component to its platform


class _Placed(NamedTuple):
    """An entity with its place among the routes of its device."""

    family: str
    stream: str
    state: str | None  # the route whose values it shows
    command: str | None  # the route that it sets
    entity: Entity


def topic(gateway: str, device: str) -> str:
    """Return where a device is told of."""
    return f"{PREFIX}/device/{object_id(gateway, device)}/config"


def config(topics: Topics, gateway: str, device: Device, twin: Twin | None) -> dict[str, Any]:
    """Return a device's message; its part `cmps` is empty where it has nothing to show."""
    profile = device.profile.profile.profile
    name = object_id(gateway, device.name)
    publisher, _, model = profile.id.partition("@")[0].rpartition("/")
    label = None if device.origin is not None else device.label  # of one that was discovered it is the address
    about = {
        "ids": [name], "name": label or device.name, "mf": publisher or None, "mdl": profile.title or model,
        "sa": device.area,
    }  # fmt: skip
    return {
        "dev": {key: value for key, value in about.items() if value is not None},
        "o": {"name": "tidegate", "sw": version("tidegate")},
        "avty": [{"t": topics.availability}, {"t": topics.device(device.name)}],
        "avty_mode": "all",
        "qos": _QOS,
        "cmps": _components(topics, gateway, device, twin),
    }


def platforms(config: Mapping[str, Any]) -> dict[str, str]:
    """Return the components of a message with their platforms."""
    return {key: component["p"] for key, component in config["cmps"].items()}


def without(config: dict[str, Any], gone: Components) -> dict[str, Any]:
    """Return a message that also takes components away: each with its platform and nothing else."""
    return config | {"cmps": config["cmps"] | {key: {"p": platform} for key, platform in gone.items()}}


def _components(topics: Topics, gateway: str, device: Device, twin: Twin | None) -> dict[str, Any]:
    placed = _entities(device, twin)
    families = Counter(stream for _, stream in {(each.family, each.stream) for each in placed})
    found = {}
    for each in placed:
        platform = each.entity.platform
        key = unique(platform.replace("_", ""), each.family, each.stream)
        words = (each.stream,) if families[each.stream] == 1 else (each.family, each.stream)
        place = (gateway, device.name, each.family, each.stream)
        told: dict[str, Any] = {"p": platform, "name": titled(*words)}
        keys = dict(each.entity.keys)
        if each.command is None:
            told["uniq_id"] = unique(*place)
        else:
            told["uniq_id"] = unique(*place, "desired")
            told["cmd_t"] = topics.command(each.command)
        if each.state is not None:
            told["stat_t"] = topics.route(each.state)
        else:
            told["opt"] = True
            for of_state in ("val_tpl", "stat_on", "stat_off"):
                keys.pop(of_state, None)
        found[key] = told | keys
    return found


def _entities(device: Device, twin: Twin | None) -> list[_Placed]:
    """Return what shows and sets a device's values; who can set one under the same route shows it too."""
    found: dict[str, _Placed] = {}
    for message in device.all_messages():
        plan = message.plan
        for stream, units, spec in zip(message.streams, plan.units, plan.fields, strict=True):
            route = f"{device.name}/{message.family}/{stream}"
            entity = sensor(message.family, units, spec)
            found.setdefault(route, _Placed(message.family, stream, route, None, entity))
    controls = [] if twin is None else list(_controls(device, twin))
    for each in controls:
        if each.state == f"{device.name}/{each.family}/{each.stream}":
            found.pop(each.state, None)
    return [*found.values(), *controls]


def _controls(device: Device, twin: Twin) -> Iterator[_Placed]:
    for name, setpoint in twin.setpoints.items():
        report, shown = _reported(device, setpoint)
        entity = control(setpoint, shown, twin.units(name), device.adjust.get(setpoint.shown))
        if entity is not None:
            place = setpoint.route(device.name)
            yield _Placed(place.family, place.stream, report, str(place), entity)


def _reported(device: Device, setpoint: Setpoint) -> tuple[str | None, Field | None]:
    """Return the route of the value that reports a setpoint, and its field; None: nothing does."""
    name, field = setpoint.reported_by or ("", "")
    message = device.messages.get(name)
    if message is None or field not in message.plan.names:
        return None, None
    at = message.plan.names.index(field)
    return f"{device.name}/{message.family}/{message.streams[at]}", message.plan.fields[at]
