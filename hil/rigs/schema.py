"""The JSON Schema of rig files, so that editors complete and check them while they are written.

It knows types, names and allowed words; what keys mean together only `tidegate hil check` knows.
"""

from __future__ import annotations

import json
from typing import Any, Final

import msgspec

from hil.rigs.model import RigFile
from hil.rigs.standard import PROTOCOLS, STATES

TITLE: Final = "Tidegate rig file, format 1"
_REFERENCE: Final = r"|\$\{"

DESCRIPTIONS: Final[dict[str, dict[str, str]]] = {
    "RigFile": {"rig": "the rig itself", "target": "the boards, by name"},
    "RigHead": {
        "name": "of the rig, in reports",
        "include": "rig files beneath this one: what this one says counts",
        "facts": "what tests and leases may ask for: { site = 'lab 2' }",
    },
    "TargetSpec": {
        "states": "those that this board can be brought into, in order; by default all",
        "firmware": "what runs on it, for reports",
        "facts": "what tests and leases may ask for: { board = 'cobs-node' }",
        "options": "{NAME} in the texts of its states; a run may give others",
        "resource": "the wires to it, by name",
        "state": "how each state is reached",
    },
    "ResourceSpec": {
        "sim": "true: simulated",
        "port": "what stays the same board's: 'usb:VID:PID:SERIAL', '/dev/serial/by-id/...', 'can0', 'hci0/ADDRESS'",
        "agent": "in place of a port: the agent beside the board, 'pi.local:4716' or 'ssh://pi/home/pi/bench.toml'",
        "peer": "the port of a second adapter, wired to the board's side of the same lines",
        "shared": "one wire that several targets are on",
        "facts": "about the wiring",
        "baud": "bits per second",
        "bitrate": "of CAN, bits per second",
        "data_bitrate": "of CAN FD's data",
        "mode": "of SPI, 0..3",
        "bits": "of an SPI word",
        "hand": "true: a person switches it when asked",
        "hub": "USB hub that switches its ports, by place: '1-1'",
        "hub_port": "its port, from 1",
        "gpiochip": "chip of a GPIO line, by label or name",
        "line": "its offset",
        "active_low": "true: low is on",
        "command_on": "a program that switches it on",
        "command_off": "a program that switches it off",
        "settle": "waited after each switch",
    },
    "StateSpec": {
        "timeout": "until it must be reached, each time it is tried",
        "retries": "tries after the first",
        "settle": "waited before it counts as reached",
        "command": "run first, for example to flash",
        "on": "the resource that is talked to; by default the first but power",
        "send": "text that is sent",
        "send_hex": "bytes that are sent",
        "send_id": "of the CAN frame that is sent",
        "expect": "regular expression that must come",
        "expect_hex": "bytes that must come",
        "expect_id": "of the CAN frame that must come",
    },
}
_REQUIRED: Final = {"RigFile": ["rig", "target"], "RigHead": ["name"], "ResourceSpec": ["protocol"]}


def schema_text() -> str:
    """Return the schema, as `tidegate hil check --schema` prints it."""
    schema = msgspec.json.schema(RigFile)
    for name, definition in schema["$defs"].items():
        properties: dict[str, Any] = definition.get("properties", {})
        for key, part in properties.items():
            if key in DESCRIPTIONS.get(name, {}):
                part["description"] = DESCRIPTIONS[name][key]
            _let_refer(part)
        if name in _REQUIRED:
            definition["required"] = _REQUIRED[name]
    schema["$defs"]["TargetSpec"]["properties"]["state"]["propertyNames"] = {"enum": list(STATES)}
    schema["$defs"]["ResourceSpec"]["properties"]["protocol"] = {"enum": list(PROTOCOLS)}
    whole = {"$schema": "https://json-schema.org/draft/2020-12/schema", "title": TITLE, **schema}
    return json.dumps(whole, indent=2) + "\n"


def _let_refer(part: dict[str, Any]) -> None:
    """Allow `${NAME}` where a text has a form."""
    for each in (part, *part.get("anyOf", ())):
        if "pattern" in each:
            each["pattern"] += _REFERENCE
