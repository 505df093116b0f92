"""What the Sparkplug tests share: a decoder of its own, somebody who sees every packet, a host, a gateway.

The decoder knows protobuf's wire format and the field numbers of the specification (Sparkplug 3.0.0, 6.4.1), and
nothing of the code under test.
"""

from __future__ import annotations

import asyncio
import struct
import threading
from collections.abc import Iterator
from pathlib import Path
from typing import Any, NamedTuple, Self

from paho.mqtt.client import Client
from paho.mqtt.enums import CallbackAPIVersion

from gateway.app import Gateway
from tests.integration.test_ports import FarEnd
from tests.sinks.mqtt.kit import Middle, gateway_at, packet, until

GROUP = "Plant 1"
NODE = "gw"
PREFIX = f"spBv1.0/{GROUP}"
SPARKPLUG_TYPES = set(range(1, 35))

COBS = """
[profile]
id     = "test/node@1.0.0"
family = "climate"
[link]
bus = "uart"
[framing]
kind = "cobs"
[lifecycle]
stale_after = "{stale_after}"
[record]
at_most = "0s"
[message.reading]
when   = {{ bytes = {{ 0 = 1 }}, length = 3 }}
fields = [
  {{ type = "u8", const = 1 }},
  {{ name = "temperature", type = "s16be", scale = 0.5, units = "Cel", minimum = -4, maximum = 999, invalid = -32768 }},
]
[message.kinds]
when   = {{ bytes = {{ 0 = 2 }} }}
family = "kinds"
fields = [
  {{ type = "u8", const = 2 }},
  {{ name = "byte",   type = "u8" }},
  {{ name = "word",   type = "u16be" }},
  {{ name = "long",   type = "u64be" }},
  {{ name = "signed", type = "s16be", units = "K" }},
  {{ name = "single", type = "f32be" }},
  {{ name = "double", type = "f64be" }},
  {{ name = "yes",    type = "bool" }},
  {{ name = "mode",   type = "u8", labels = {{ 0 = "idle", 1 = "busy" }} }},
  {{ name = "marks",  type = "u8", flags = {{ 0 = "low", 3 = "hot" }} }},
  {{ name = "bytes",  type = "bytes", length = 2 }},
]
"""
KINDS = struct.Struct(">BBHQhfdBBB2s")


def profile(stale_after: str = "60s") -> str:
    return COBS.format(stale_after=stale_after)


def kinds(**changes: Any) -> bytes:
    told = {
        "byte": 200, "word": 60_000, "long": 2**64 - 1, "signed": -7, "single": 0.5, "double": 0.1, "yes": 1, "mode": 1,
        "marks": 9, "bytes": b"\xca\xfe",
    } | changes  # fmt: skip
    return KINDS.pack(2, *told.values())


# ---- protobuf


def varints(data: bytes, at: int) -> tuple[int, int]:
    value = shift = 0
    while True:
        byte = data[at]
        at += 1
        value |= (byte & 127) << shift
        shift += 7
        if not byte & 128:
            return value, at


def fields(data: bytes) -> Iterator[tuple[int, int, Any]]:
    """Yield number, wire type and value of every field, as `protoc --decode_raw` shows them."""
    at = 0
    while at < len(data):
        key, at = varints(data, at)
        number, wire = key >> 3, key & 7
        if wire == 0:
            value, at = varints(data, at)
        elif wire == 2:
            size, at = varints(data, at)
            value, at = data[at : at + size], at + size
        else:
            size = {1: 8, 5: 4}[wire]
            value, at = struct.unpack("<d" if wire == 1 else "<f", data[at : at + size])[0], at + size
        yield number, wire, value


VALUE_FIELDS = ("int_value", "long_value", "float_value", "double_value", "boolean_value", "string_value")
VALUE_WIRES = (0, 0, 5, 1, 0, 2)


def property_of(data: bytes) -> dict[str, Any]:
    names = {1: "type", 2: "is_null", **dict(enumerate(VALUE_FIELDS, 3))}
    found: dict[str, Any] = {}
    for number, wire, value in fields(data):
        name = names[number]
        assert wire == (0 if number < 3 else VALUE_WIRES[number - 3])
        found[name] = value
        if number >= 3:
            found |= {"field": name, "value": value.decode() if name == "string_value" else value}
    return found


def properties_of(data: bytes) -> dict[str, dict[str, Any]]:
    keys = [value.decode() for number, _, value in fields(data) if number == 1]
    values = [property_of(value) for number, _, value in fields(data) if number == 2]
    assert len(keys) == len(values)
    return dict(zip(keys, values, strict=True))


def metric_of(data: bytes) -> dict[str, Any]:
    names = {
        1: "name", 2: "alias", 3: "timestamp", 4: "datatype", 5: "is_historical", 6: "is_transient", 7: "is_null",
        9: "properties", **dict(enumerate(VALUE_FIELDS, 10)),
    }  # fmt: skip
    found: dict[str, Any] = {"properties": {}}
    for number, wire, value in fields(data):
        name = names[number]
        assert wire == ({1: 2, 9: 2}.get(number, 0) if number < 10 else VALUE_WIRES[number - 10]), name
        if name == "properties":
            found[name] = properties_of(value)
        elif number >= 10:
            told = value.decode() if name == "string_value" else bool(value) if name == "boolean_value" else value
            found |= {"field": name, "value": told}
        else:
            found[name] = value.decode() if name == "name" else value
    return found


def payload_of(data: bytes) -> dict[str, Any]:
    found: dict[str, Any] = {"metrics": []}
    for number, wire, value in fields(data):
        assert (number, wire) in {(1, 0), (2, 2), (3, 0)}, "a field that this gateway has no use for"
        if number == 2:
            found["metrics"].append(metric_of(value))
        else:
            found[{1: "timestamp", 3: "seq"}[number]] = value
    return found


def varint(value: int) -> bytes:
    out = bytearray()
    while value > 127:
        out.append(value & 127 | 128)
        value >>= 7
    return bytes((*out, value))


def field(number: int, value: float | bytes | str, *, wire: int | None = None) -> bytes:
    """Return one field: a float as 64 bits, or 32 with `wire` 5."""
    if isinstance(value, float):
        wire = 1 if wire is None else wire
        return varint(number << 3 | wire) + struct.pack("<d" if wire == 1 else "<f", value)
    if isinstance(value, int):
        return varint(number << 3) + varint(value)
    raw = value.encode() if isinstance(value, str) else value
    return varint(number << 3 | 2) + varint(len(raw)) + raw


def command(*metrics: bytes, timestamp: int = 1) -> bytes:
    return field(1, timestamp) + b"".join(field(2, metric) for metric in metrics)


def rebirth(value: int = 1) -> bytes:
    return command(field(1, "Node Control/Rebirth") + field(4, 11) + field(14, value))


# ---- what a broker and a host see


class Message(NamedTuple):
    """One message of Sparkplug's namespace."""

    verb: str
    device: str | None
    payload: dict[str, Any]
    qos: int
    is_retained: bool
    connection: int = 0

    def value(self, name: str) -> Any:
        """Return the value of the one metric with a name; None: it is null."""
        (found,) = [metric for metric in self.payload["metrics"] if metric.get("name") == name]
        return found.get("value")


class Connect(NamedTuple):
    """One CONNECT with its will."""

    client_id: str
    is_clean: bool
    will_topic: str
    will: dict[str, Any]
    will_qos: int
    is_will_retained: bool


def message_of(topic: str, data: bytes, qos: int, *, retained: bool, connection: int = 0) -> Message:
    namespace, group, verb, node, *device = topic.split("/")
    assert (namespace, group, node) == ("spBv1.0", GROUP, NODE)
    return Message(verb, device[0] if device else None, payload_of(data), qos, retained, connection)


def connect_of(body: bytes) -> Connect:
    at, told = 10, []
    while at < len(body):
        size = int.from_bytes(body[at : at + 2], "big")
        told.append(body[at + 2 : at + 2 + size])
        at += 2 + size
    flags = body[7]
    return Connect(
        told[0].decode(), bool(flags & 2), told[1].decode(), payload_of(told[2]), flags >> 3 & 3, bool(flags & 32)
    )


class Tap(Middle):
    """Stands between gateway and broker and keeps every packet of the Sparkplug connection, in its order."""

    def __init__(self, broker: int) -> None:
        super().__init__(broker)
        self.packets: list[tuple[int, int, int, bytes]] = []  # connection, type, flags, body
        self.connects: list[Connect] = []

    async def _pass(
        self, way: str, reader: asyncio.StreamReader, writer: asyncio.StreamWriter, waiting: dict[int, Any]
    ) -> None:
        number = 0
        while True:
            head, body = await packet(reader)
            kind = head[0] >> 4
            if way == "out" and kind == 1 and b"-sparkplug" in body[:200]:
                self.connects.append(connect_of(body))
                number = len(self.connects)
            if way == "out" and number:
                self.packets.append((number, kind, head[0] & 15, body))
            writer.write(head + body)
            await writer.drain()

    @property
    def messages(self) -> list[Message]:
        found = []
        for connection, kind, flags, body in list(self.packets):
            if kind == 3:
                size = int.from_bytes(body[:2], "big")
                qos = flags >> 1 & 3
                data = body[2 + size + (2 if qos else 0) :]
                topic = body[2 : 2 + size].decode()
                found.append(message_of(topic, data, qos, retained=bool(flags & 1), connection=connection))
        return found

    def told(self, verb: str, device: str | None = None) -> list[Message]:
        return [each for each in self.messages if (each.verb, each.device) == (verb, device)]


class Host:
    """A host application: hears everything of the group, and may command."""

    def __init__(self, port: int) -> None:
        self.heard: list[Message] = []
        subscribed = threading.Event()
        self.client = Client(CallbackAPIVersion.VERSION2)
        self.client.on_connect = lambda client, *_: client.subscribe(f"{PREFIX}/#", qos=1)
        self.client.on_subscribe = lambda *_: subscribed.set()
        self.client.on_message = lambda _c, _u, message: self._hear(message)
        self.client.reconnect_delay_set(0.05, 0.2)  # type: ignore[arg-type]
        self.client.connect("127.0.0.1", port)
        self.client.loop_start()
        assert subscribed.wait(10)

    def _hear(self, message: Any) -> None:
        if message.topic.split("/")[2] not in {"NCMD", "DCMD"}:
            self.heard.append(message_of(message.topic, message.payload, message.qos, retained=message.retain))

    def say(self, payload: bytes, device: str | None = None, *, qos: int = 0, retain: bool = False) -> None:
        verb, place = ("NCMD", NODE) if device is None else ("DCMD", f"{NODE}/{device}")
        self.client.publish(f"{PREFIX}/{verb}/{place}", payload, qos=qos, retain=retain)

    def told(self, verb: str, device: str | None = None) -> list[Message]:
        return [each for each in list(self.heard) if (each.verb, each.device) == (verb, device)]

    def aliases(self, device: str | None) -> dict[str, int]:
        """Return alias by name, of the last birth."""
        birth = self.told("NBIRTH" if device is None else "DBIRTH", device)[-1]
        return {metric["name"]: metric["alias"] for metric in birth.payload["metrics"] if "alias" in metric}

    def data(self, device: str | None, name: str) -> list[dict[str, Any]]:
        """Return what was told of one metric after births, in order."""
        alias = self.aliases(device)[name]
        verb = "NDATA" if device is None else "DDATA"
        found = [metric for message in self.told(verb, device) for metric in message.payload["metrics"]]
        return [metric for metric in found if metric["alias"] == alias]

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        self.client.disconnect()
        self.client.loop_stop()


def edge_node(folder: Path, port: int, text: str | None = None) -> Gateway:
    return gateway_at(folder, port, str(folder / "tty"), text or profile(), sparkplug=GROUP)


def spark(gateway: Gateway) -> dict[str, Any]:
    (told,) = [each for each in gateway.status()["sinks"] if each["name"] == "sparkplug"]
    return dict(told)


async def quiet(gateway: Gateway) -> None:
    """Wait until everything is acknowledged."""
    await until(lambda: spark(gateway)["state"] == "connected" and spark(gateway)["lag"] == 0)


def pull(far: FarEnd, folder: Path) -> None:
    """Pull the device; its link goes too, for the terminal's number is soon somebody else's."""
    (folder / "tty").unlink()
    far.unplug()


async def in_state(gateway: Gateway, state: str) -> None:
    await until(lambda: gateway.status()["devices"][0]["state"] == state)
