"""What `check` finds: one profile with everything in it, and one mistake put in at a time."""

from __future__ import annotations

from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from gateway.errors import Problem
from gateway.profile.validate import examine

PUMP = """\
[profile]
id = "example/pump@1.2.3"
title = "Pump {unit}"
family = "pump"
requires = "1"

[params]
unit = { type = "u8", default = 1, minimum = 1, maximum = 247 }

[link]
bus = "uart"
baud = 19200
parity = "even"
match = { vid_pid = "10c4:ea60" }

[framing]
kind = "length"
start = "42 4d"
length = { at = 2, type = "u16be", adds = 4 }
check = { kind = "sum-16" }
body = "4:-2"

[message.status]
when = { bytes = { 0 = 1 }, length = 9 }
fields = [
  { type = "u8", const = 1 },
  { name = "speed", type = "u16be", scale = 0.5, units = "/min", minimum = 0, maximum = 4000 },
  { type = "u8", bits = [
    { name = "running", at = "0" }, { name = "mode", at = "3:1", labels = { 0 = "off", 1 = "on" } } ] },
  { name = "temperature", type = "s16be", units = "Cel", invalid = -32768, deadband = 0.5, if = "running" },
  { name = "counter", type = "u8" },
]

[message.command]
when = { bytes = { 0 = 2 } }
direction = "out"
lane = "control"
fields = [
  { type = "u8", const = 2 },
  { name = "target", type = "u16be", units = "/min" },
  { name = "counter", type = "u8" },
]

[message.poll]
ask = { send = "ff {unit}" }
every = "10s"
timeout = "200ms"
device_time = "uptime"
fields = [ { name = "uptime", type = "u32be", units = "s" } ]

[setpoint.speed]
write = "command.target"
report = "status.speed"
ack = { message = "status", where = { mode = 1 }, same = { counter = "counter" }, accept = { running = 1 } }
minimum = 0
maximum = 3000
tolerance = 10
fill = { counter = "counter" }
timeout = "400ms"
attempts = 3
backoff = "100ms..1s"
idempotent = true
on_fail = "safe"
safe = 0
dead_man = "5s"
interlock = [ { "status.mode" = "on" }, "!status.running" ]
budget = { per_hour = 60 }

[lifecycle]
stale_after = "30s"
reconnect = "1s..1m"
version = "status.counter"
connect = [ { ask = "poll" }, { wait = "10ms" }, { set = "speed", value = 0 }, { send = "fe {unit}" } ]

[queue]
capacity = 64
when_full = "drop_newest"

[record]
at_most = "1s"
at_least = "5m"
keep = "1y"
"""


def found(text: str, folder: Path | None = None) -> list[Problem]:
    def read(name: str) -> bytes:
        if folder is None:
            raise FileNotFoundError(2, "No such file or directory")
        return (folder / name).read_bytes()

    return examine("p.toml", text.encode(), None, read).problems


def test_the_whole_profile_has_no_problem() -> None:
    assert found(PUMP) == []


@pytest.mark.parametrize(
    ("more", "severities"), [("", ["warning"]), ('expires = "10m"', ["warning"]), ('confirm = "operator"', [])]
)
def test_attempts_that_need_longer_than_a_command_lives_are_warned_of(more: str, severities: list[str]) -> None:
    text = PUMP.replace('timeout = "400ms"\nattempts = 3', f'timeout = "900ms"\nattempts = 3\n{more}')
    assert [each.severity for each in found(text)] == severities


LAST_FIELD = 'name = "counter", type = "u8"'
LAST = LAST_FIELD + " },\n]\n\n[message.command"
MISTAKES = [  # replace, by, text of the line it is told at, key
    # [profile]
    ("pump@1.2.3", "pump@1.2", "id =", "profile.id"),
    ("pump@1.2.3", "pump@1", "id =", "profile.id"),
    ("pump@1.2.3", "pump@01.2.3", "id =", "profile.id"),
    ("pump@1.2.3", "pump@1.2.3.4", "id =", "profile.id"),
    ("pump@1.2.3", "pump@latest", "id =", "profile.id"),
    ("example/pump", "pump", "id =", "profile.id"),
    ("example/pump", "Example/pump", "id =", "profile.id"),
    ('id = "example/pump@1.2.3"\n', "", "[profile]", "profile.id"),
    ('id = "example/pump@1.2.3"', "id = 5", "id =", "profile.id"),
    ('family = "pump"', 'family = "Pump A"', "family", "profile.family"),
    ('requires = "1"', 'requires = "2"', "requires", "profile.requires"),
    ('title = "Pump', 'titel = "Pump', "titel", "profile.titel"),
    ("[profile]", "[profil]", "[profil]", "profil"),
    # [params]
    ('type = "u8", default = 1', 'type = "u9", default = 1', "unit", "params.unit.type"),
    ("default = 1, ", "default = 300, ", "unit", "params.unit.default"),
    ("default = 1, ", 'default = "x", ', "unit", "params.unit.default"),
    ("maximum = 247", "maximum = 1000", "unit", "params.unit.maximum"),
    ("minimum = 1, maximum", "minimum = 248, maximum", "unit", "params.unit.minimum"),
    ("default = 1, ", "defualt = 1, ", "unit", "params.unit.defualt"),
    ("unit = {", "Unit = {", "Unit", "params.Unit"),
    ('"Pump {unit}"', '"Pump {unti}"', "title", "profile.title"),
    ('"ff {unit}"', '"ff {node}"', "ask", "message.poll.ask.send"),
    # [link]
    ('bus = "uart"', 'bus = "usb"', "bus", "link.bus"),
    ('bus = "uart"\n', "", "[link]", "link.bus"),
    ("baud = 19200", 'baud = "fast"', "baud", "link.baud"),
    ("baud = 19200", "baud = 9600.5", "baud", "link.baud"),
    ("baud = 19200", "baud = true", "baud", "link.baud"),
    ("baud = 19200", "baud = 0", "baud", "link.baud"),
    ("baud = 19200", "baud = 1_000_000_000_000_000_000_000", "baud", "link.baud"),
    ("baud = 19200", "bauds = 19200", "bauds", "link.bauds"),
    ("baud = 19200", "bitrate = 500000", "bitrate", "link.bitrate"),
    ("baud = 19200", "stop_bits = 3", "stop_bits", "link.stop_bits"),
    ('parity = "even"', 'parity = "evn"', "parity", "link.parity"),
    ('vid_pid = "10c4:ea60"', 'vid_pid = "10c4"', "match", "link.match.vid_pid"),
    ('vid_pid = "10c4:ea60"', "can_ids = [1]", "match", "link.match.can_ids"),
    ('vid_pid = "10c4:ea60"', "", "match", "link.match"),
    # [framing]
    ('kind = "length"', 'kind = "lenght"', "kind", "framing.kind"),
    ('kind = "length"\n', "", "[framing]", "framing.kind"),
    ('kind = "length"', 'kind = "j1939"', "kind", "framing.kind"),
    ('start = "42 4d"', 'start = "42 4"', "start", "framing.start"),
    ('start = "42 4d"\n', "", "[framing]", "framing.start"),
    ("adds = 4", "adss = 4", "length =", "framing.length.adss"),
    ('"sum-16"', '"sum-61"', "check", "framing.check.kind"),
    # [message]
    ("[message.status]", "[message.Status]", "[message.Status]", "message.Status"),
    ("0 = 1 }, length", "0 = 256 }, length", "when", "message.status.when.bytes.0"),
    ("0 = 1 }, length", "x = 1 }, length", "when", "message.status.when.bytes.x"),
    ("length = 9 }", 'length = "9..3" }', "when", "message.status.when.length"),
    ("length = 9 }", "length = 5000 }", "when", "message.status.when.length"),
    ("length = 9 }", "can_id = 5 }", "when", "message.status.when.can_id"),
    ("length = 9 }", 'sentence = "RMC" }', "when", "message.status.when.sentence"),
    ("length = 9 }", "lenght = 9 }", "when", "message.status.when.lenght"),
    ('direction = "out"', 'direction = "output"', "direction", "message.command.direction"),
    ('lane = "control"', 'lane = "fast"', "lane", "message.command.lane"),
    ('every = "10s"', 'every = "-10s"', "every", "message.poll.every"),
    ('every = "10s"', 'every = "0s"', "every", "message.poll.every"),
    ('timeout = "200ms"', 'timeout = "200 ms"', "timeout", "message.poll.timeout"),
    ('timeout = "200ms"', 'timeout = "0ms"', "timeout", "message.poll.timeout"),
    ('timeout = "200ms"', "attempts = 0", "attempts", "message.poll.attempts"),
    ('device_time = "uptime"', 'device_time = "uptim"', "device_time", "message.poll.device_time"),
    ('send = "ff {unit}"', "", "ask", "message.poll.ask"),
    ('send = "ff {unit}"', "input = 0, count = 2", "ask", "message.poll.ask.input"),
    ('send = "ff {unit}"', 'send = "ff", count = 2', "ask", "message.poll.ask.count"),
    ('send = "ff {unit}"', 'send = "ff", can_id = 2', "ask", "message.poll.ask.can_id"),
    ('send = "ff {unit}"', 'send = "ff f"', "ask", "message.poll.ask.send"),
    ('timeout = "200ms"', 'construct = "/etc/x.py"', "construct", "message.poll.construct"),
    ('timeout = "200ms"', 'dbc = "X"', "dbc", "message.poll.dbc"),
    ('timeout = "200ms"', 'family = "Not One"', "family", "message.poll.family"),
    ('timeout = "200ms"', 'record = { at_most = "1h", at_least = "1m" }', "record", "message.poll.record.at_most"),
    ('timeout = "200ms"', 'transform = { use = "x", with = ["nope"], gives = [{ name = "y" }] }', "transform",
     "message.poll.transform.with[0]"),
    ('timeout = "200ms"', 'transform = { use = "x", with = ["poll"], gives = [{ name = "y" }] }', "transform",
     "message.poll.transform.with[0]"),
    ('timeout = "200ms"', 'transform = { use = "x" }', "transform", "message.poll.transform.gives"),
    ('timeout = "200ms"', "transform = { gives = [{ name = 'y' }] }", "transform", "message.poll.transform.use"),
    # fields
    ('{ name = "speed", type', '{ nam = "speed", type', '  { nam = "speed"', "message.status.fields[1].nam"),
    ('{ name = "speed", type', '{ name = "Speed", type', '  { name = "Speed"', "message.status.fields[1].name"),
    ('{ name = "speed", type', '{ name = "2speed", type', '  { name = "2speed"', "message.status.fields[1].name"),
    ('type = "u16be", scale', 'type = "u61be", scale', '  { name = "speed"', "message.status.fields[1].type"),
    ('type = "u16be", scale', 'type = "u16", scale', '  { name = "speed"', "message.status.fields[1].type"),
    ('type = "u16be", scale = 0.5, ', "scale = 0.5, ", '  { name = "speed"', "message.status.fields[1].type"),
    ("scale = 0.5", "scale = 0", '  { name = "speed"', "message.status.fields[1].scale"),
    ("scale = 0.5", "scale = nan", '  { name = "speed"', "message.status.fields[1].scale"),
    ("scale = 0.5", "scale = inf", '  { name = "speed"', "message.status.fields[1].scale"),
    ("scale = 0.5", 'scale = "1/0"', '  { name = "speed"', "message.status.fields[1].scale"),
    ("scale = 0.5", 'scale = "a"', '  { name = "speed"', "message.status.fields[1].scale"),
    ("scale = 0.5", "offset = nan", '  { name = "speed"', "message.status.fields[1].offset"),
    ('units = "/min", minimum', 'units = "rpm", minimum', '  { name = "speed"', "message.status.fields[1].units"),
    ("minimum = 0, maximum = 4000", "minimum = 5000, maximum = 4000", '  { name = "speed"',
     "message.status.fields[1].minimum"),
    ("deadband = 0.5", "deadband = -0.5", '  { name = "temperature"', "message.status.fields[3].deadband"),
    ("invalid = -32768", "invalid = 70000", '  { name = "temperature"', "message.status.fields[3].invalid"),
    ('if = "running"', 'if = "runing"', '  { name = "temperature"', "message.status.fields[3].if"),
    ("const = 1 }", "const = 256 }", "  { type", "message.status.fields[0].const"),
    ('at = "0" }', 'at = "8" }', "    { name", "message.status.fields[2].bits[0].at"),
    ('at = "0" }', 'at = "1" }', "    { name", "message.status.fields[2].bits[1].at"),
    ('at = "0" }', 'at = "a" }', "    { name", "message.status.fields[2].bits[0].at"),
    ('{ name = "running", at = "0" }', '{ name = "running" }', "    { name", "message.status.fields[2].bits[0].at"),
    ('0 = "off", 1 = "on"', '0 = "off", 8 = "on"', "    { name", "message.status.fields[2].bits[1].labels.8"),
    ('0 = "off", 1 = "on"', '0 = "off", 0 = "on"', "    { name", "message.status.fields[2].bits[1].labels.0"),
    (LAST, LAST.replace(LAST_FIELD, 'name = "speed", type = "u8"'),
     '  { name = "speed", type = "u8"', "message.status.fields[4].name"),
    (LAST, LAST.replace(LAST_FIELD, 'name = "c", type = "bytes", length = 2000'),
     '  { name = "c"', "message.status.fields[4].length"),
    (LAST, LAST.replace(LAST_FIELD, 'name = "c", type = "u8", array = 2000'),
     '  { name = "c"', "message.status.fields[4].array"),
    (LAST, LAST.replace(LAST_FIELD, 'name = "c", type = "u8", at = 2000'),
     '  { name = "c"', "message.status.fields[4].at"),
    (LAST, LAST.replace(LAST_FIELD, 'name = "c", type = "bytes"'),
     '  { name = "c"', "message.status.fields[4].length"),
    (LAST, LAST.replace(LAST_FIELD, 'name = "c", type = "bytes", length = "cnt"'),
     '  { name = "c"', "message.status.fields[4].length"),
    # [setpoint]
    ('write = "command.target"', 'write = "command.targt"', "write", "setpoint.speed.write"),
    ('write = "command.target"', 'write = "comand.target"', "write", "setpoint.speed.write"),
    ('write = "command.target"', 'write = "target"', "write", "setpoint.speed.write"),
    ('write = "command.target"\n', "", "[setpoint.speed]", "setpoint.speed.write"),
    ('report = "status.speed"', 'report = "status.sped"', "report", "setpoint.speed.report"),
    ('report = "status.speed"', 'report = "command.target"', "report", "setpoint.speed.report"),
    ('ack = { message = "status"', 'ack = { message = "stats"', "ack", "setpoint.speed.ack.message"),
    ("where = { mode = 1 }", "where = { mod = 1 }", "ack", "setpoint.speed.ack.where.mod"),
    ('same = { counter = "counter" }', 'same = { counter = "count" }', "ack", "setpoint.speed.ack.same.counter"),
    ("accept = { running = 1 }", "accept = { runing = 1 }", "ack", "setpoint.speed.ack.accept.runing"),
    ("minimum = 0\n", "minimum = 4000\n", "minimum", "setpoint.speed.minimum"),
    ("tolerance = 10", "tolerance = -1", "tolerance", "setpoint.speed.tolerance"),
    ("tolerance = 10", "step = 0", "step", "setpoint.speed.step"),
    ('fill = { counter = "counter" }', 'fill = { count = "counter" }', "fill", "setpoint.speed.fill.count"),
    ('fill = { counter = "counter" }', 'fill = { counter = "check:crc-9" }', "fill", "setpoint.speed.fill.counter"),
    ('timeout = "400ms"', 'timeout = "-1s"', "timeout", "setpoint.speed.timeout"),
    ("idempotent = true\n", "", "attempts", "setpoint.speed.attempts"),
    ("attempts = 3", "attempts = 0", "attempts", "setpoint.speed.attempts"),
    ('backoff = "100ms..1s"', 'backoff = "1s"', "backoff", "setpoint.speed.backoff"),
    ('backoff = "100ms..1s"', 'backoff = "2s..1s"', "backoff", "setpoint.speed.backoff"),
    ("safe = 0\n", "", "[setpoint.speed]", "setpoint.speed.safe"),
    ("safe = 0\n", "safe = 9999\n", "safe", "setpoint.speed.safe"),
    ('on_fail = "safe"', 'on_fail = "stop"', "on_fail", "setpoint.speed.on_fail"),
    ('dead_man = "5s"', 'dead_man = "5"', "dead_man", "setpoint.speed.dead_man"),
    ('{ "status.mode" = "on" }', '{ "status.mod" = "on" }', "interlock", "setpoint.speed.interlock[0].status.mod"),
    ('"!status.running"', '"!status.runing"', "interlock", "setpoint.speed.interlock[1]"),
    ("per_hour = 60", "per_hour = 0", "budget", "setpoint.speed.budget.per_hour"),
    ("tolerance = 10", 'confirm = "nope"', "confirm", "setpoint.speed.confirm"),
    # [lifecycle] [queue] [record]
    ('stale_after = "30s"', 'stale_after = "-30s"', "stale_after", "lifecycle.stale_after"),
    ('reconnect = "1s..1m"', 'reconnect = "soon"', "reconnect", "lifecycle.reconnect"),
    ('version = "status.counter"', 'version = "status.count"', "version", "lifecycle.version"),
    ('{ ask = "poll" }', '{ ask = "pol" }', "connect", "lifecycle.connect[0].ask"),
    ('{ ask = "poll" }', '{ ask = "status" }', "connect", "lifecycle.connect[0].ask"),
    ('{ ask = "poll" }', '{ ask = "poll", wait = "1s" }', "connect", "lifecycle.connect[0]"),
    ('{ ask = "poll" }', "{}", "connect", "lifecycle.connect[0]"),
    ('{ set = "speed", value = 0 }', '{ set = "sped", value = 0 }', "connect", "lifecycle.connect[2].set"),
    ('{ set = "speed", value = 0 }', '{ set = "speed" }', "connect", "lifecycle.connect[2].value"),
    ("capacity = 64", "capacity = 0", "capacity", "queue.capacity"),
    ("capacity = 64", "capacity = -5", "capacity", "queue.capacity"),
    ('when_full = "drop_newest"', 'when_full = "drop_newst"', "when_full", "queue.when_full"),
    ('at_most = "1s"', 'at_most = "1h"', "at_most", "record.at_most"),
    ('keep = "1y"', 'keep = "-1y"', "keep", "record.keep"),
    ("[queue]", "[que]", "[que]", "que"),
]  # fmt: skip


@pytest.mark.parametrize(
    ("old", "new", "place", "key"), MISTAKES, ids=[f"{row[3]}-{number}" for number, row in enumerate(MISTAKES)]
)
def test_a_mistake_is_told_with_line_and_key(old: str, new: str, place: str, key: str) -> None:
    assert old in PUMP
    text = PUMP.replace(old, new, 1)
    lines = [number for number, content in enumerate(text.split("\n"), 1) if content.startswith(place)]
    told = [(problem.line, problem.key) for problem in found(text) if problem.severity == "error"]
    assert any((line, key) in told for line in lines), (lines, told)


@pytest.mark.parametrize(
    ("old", "new"), [row[:2] for row in MISTAKES], ids=[f"{row[3]}-{number}" for number, row in enumerate(MISTAKES)]
)
def test_one_mistake_brings_few_problems(old: str, new: str) -> None:
    assert 1 <= len(found(PUMP.replace(old, new, 1))) <= 8


def test_a_byte_order_mark_is_no_mistake() -> None:
    assert found("\N{ZERO WIDTH NO-BREAK SPACE}" + PUMP) == []


def test_members_of_a_construct_object_may_be_referred_to() -> None:
    text = PUMP.replace('timeout = "200ms"', 'construct = "package.module:NAME"')
    assert found(text.replace('version = "status.counter"', 'version = "poll.anything"')) == []


def test_missing_tables_are_told_at_the_first_line() -> None:
    assert [(problem.line, problem.key) for problem in found("[message.a]\n")] == [(1, "link"), (1, "profile")]


def test_every_mistake_is_told_at_once() -> None:
    text = PUMP
    for old, new in [
        ("pump@1.2.3", "pump@x"),
        ("baud = 19200", "bauds = 1"),
        ('units = "Cel"', 'units = "degC"'),
        ('write = "command.target"', 'write = "command.nope"'),
        ("capacity = 64", "capacity = 0"),
        ("at_least", "at_lest"),
    ]:
        text = text.replace(old, new)
    assert [problem.key for problem in found(text)] == [
        "profile.id",
        "link.bauds",
        "message.status.fields[3].units",
        "setpoint.speed.write",
        "queue.capacity",
        "record.at_lest",
    ]


def test_the_nearest_spelling_is_offered() -> None:
    text = PUMP.replace("baud = 19200", "bauds = 1").replace('parity = "even"', 'parity = "Even"')
    assert [problem.message for problem in found(text)] == [
        "unknown key 'bauds'; did you mean 'baud'?",
        "'Even' is not allowed; did you mean 'even'?",
    ]


@pytest.mark.parametrize("bus", ["can", "ble", "spi"])
def test_framing_is_for_uart(bus: str) -> None:
    text = f'[profile]\nid = "a/b@1.0.0"\n[link]\nbus = "{bus}"\nmode = 0\n[framing]\nkind = "cobs"\n[message.a]\n'
    assert (6 if bus != "can" else 7) in [problem.line for problem in found(text) if problem.key.startswith("framing")]


def test_every_mistake_of_one_framing_table_is_told() -> None:
    table = """\
[framing]
kind = "length"
start = "4"
length = { at = -1, type = "s16be", add = 4 }
check = { kind = "crc-16-modbuz", from = -2, order = "middle" }
body = "4;-2"
max = -3
"""
    text = '[profile]\nid = "a/b@1.0.0"\n[link]\nbus = "uart"\n' + table + "[message.a]\n"
    assert {(problem.line, problem.key.removeprefix("framing.")) for problem in found(text)} == {
        (7, "start"),
        (8, "length.add"),
        (8, "length.at"),
        (8, "length.type"),
        (9, "check.kind"),
        (9, "check.from"),
        (9, "check.order"),
        (10, "body"),
        (11, "max"),
    }


@pytest.mark.parametrize(
    "table", ['kind = "fixed"', 'kind = "fixed"\nsize = "9"', "size = 9", 'kind = "cobs"\nchek = 1']
)
def test_a_framing_that_is_wrong_is_not_missing(table: str) -> None:
    text = '[profile]\nid = "a/b@1.0.0"\n[link]\nbus = "uart"\n[framing]\n' + table + "\n[message.a]\n"
    assert [problem.key.partition(".")[2] != "" for problem in found(text)] == [True]


def test_a_uart_without_framing_is_refused() -> None:
    text = '[profile]\nid = "a/b@1.0.0"\n[link]\nbus = "uart"\n[message.a]\n'
    assert [(problem.line, problem.key) for problem in found(text)] == [(1, "framing")]


CAN = '[profile]\nid = "a/b@1.0.0"\nfamily = "f"\n[link]\nbus = "can"\n'


def test_the_same_when_twice_is_refused_at_the_second() -> None:
    text = CAN + "[message.a]\nwhen = { can_id = 0x10 }\n[message.b]\nwhen = { can_id = 16 }\n"
    assert [(problem.line, problem.key, problem.severity) for problem in found(text)] == [
        (9, "message.b.when", "error")
    ]


@pytest.mark.parametrize(
    ("first", "second"),
    [
        ("can_id = 16", "can_id = 16, length = 8"),
        ("can_id = 16", "can_id = 16, bytes = { 0 = 1 }"),
        ("can_id = 16, can_mask = 0xf0", "can_id = 0x13"),
        ("length = '4..'", "length = 8"),
        ("length = '..8'", "length = '2..4'"),
        ("pgn = 5", "pgn = 5, source = 3"),
        ("bytes = { 0 = 1 }", "bytes = { 0 = 1, 1 = 2 }"),
        ("", "can_id = 16"),
    ],
)
def test_a_message_that_can_never_match_is_warned_of(first: str, second: str) -> None:
    text = CAN + f"[message.a]\nwhen = {{ {first} }}\n[message.b]\nwhen = {{ {second} }}\n"
    assert [(problem.line, problem.key, problem.severity) for problem in found(text)] == [
        (9, "message.b.when", "warning")
    ]


@pytest.mark.parametrize(
    ("first", "second"),
    [
        ("can_id = 16, length = 8", "can_id = 16"),
        ("can_id = 16", "can_id = 16, extended = true"),
        ("can_id = 0x13", "can_id = 16, can_mask = 0xf0"),
        ("length = '4..8'", "length = '4..9'"),
        ("bytes = { 0 = 1 }", "bytes = { 0 = 2 }"),
        ("bytes = { 0 = 1 }", "length = 8"),
        ("pgn = 5, source = 3", "pgn = 5"),
    ],
)
def test_a_message_that_can_match_is_not_warned_of(first: str, second: str) -> None:
    text = CAN + f"[message.a]\nwhen = {{ {first} }}\n[message.b]\nwhen = {{ {second} }}\n"
    assert found(text) == []


def test_messages_that_only_go_out_may_share_their_facts() -> None:
    text = CAN + "[message.a]\nwhen = { can_id = 1 }\n[message.b]\nwhen = { can_id = 1 }\ndirection = 'out'\n"
    assert found(text) == []


METER = """\
[profile]
id = "a/meter@1.0.0"
[link]
bus = "uart"
[framing]
kind = "modbus-rtu"
[message.live]
ask = { input = 0x10, count = 4 }
fields = [
  { name = "voltage", register = 0x10, type = "f32be", units = "V" },
  { name = "current", register = 0x12, type = "f32be", units = "A" },
]
"""


@pytest.mark.parametrize(
    ("old", "new", "line", "key"),
    [
        ("count = 4", "count = 126", 8, "message.live.ask.count"),
        ("count = 4", "count = 0", 8, "message.live.ask.count"),
        (", count = 4", "", 8, "message.live.ask.count"),
        ("count = 4", "count = 3", 11, "message.live.fields[1].register"),
        ("register = 0x12", "register = 0x13", 11, "message.live.fields[1].register"),
        ("register = 0x10", "register = 0x0f", 10, "message.live.fields[0].register"),
        ("input = 0x10", "input = 0x10, holding = 1", 8, "message.live.ask"),
        ("input = 0x10", "input = 70000", 8, "message.live.ask.input"),
        ('"modbus-rtu"', '"modbus-rtu"\nmax = 12', 9, "message.live.ask.count"),
        ('"modbus-rtu"', '"cobs"', 8, "message.live.ask.input"),
    ],
)
def test_registers_lie_within_what_is_asked_for(old: str, new: str, line: int, key: str) -> None:
    assert found(METER) == []
    assert (line, key) in [(problem.line, problem.key) for problem in found(METER.replace(old, new))]


def test_a_signal_beyond_the_longest_frame_is_refused() -> None:
    text = CAN + "[message.a]\nfields = [{ name = 'x', dbc = '500|16@1+' }]\n"
    assert [(problem.line, problem.key) for problem in found(text)] == [(7, "message.a.fields[0].dbc")]


def two_fields(first: str, second: str) -> str:
    return (
        CAN
        + f"[message.a]\nwhen = {{ can_id = 1 }}\nfields = [{{ name = 'x', {first} }}]\n"
        + f"[message.b]\nwhen = {{ can_id = 2 }}\nfields = [{{ name = 'x', {second} }}]\n"
    )


@pytest.mark.parametrize(
    ("first", "second", "key"),
    [
        ("type = 'u8', units = 'V'", "type = 'u8', units = 'mV'", "units"),
        ("type = 'u8', units = 'V'", "type = 'u8'", "units"),
        ("type = 'u8'", "type = 'text', length = 2", "type"),
        ("type = 'u8'", "type = 'bool'", "type"),
        ("type = 'u8'", "type = 'u8', labels = { 0 = 'a' }", "labels"),
        ("type = 'u8'", "type = 'u8', array = 2", "type"),
    ],
)
def test_one_stream_in_two_messages_agrees_in_kind_and_units(first: str, second: str, key: str) -> None:
    told = found(two_fields(first, second))
    assert [(problem.line, problem.key) for problem in told] == [(11, f"message.b.fields[0].{key}")]


def test_one_stream_may_differ_on_the_wire() -> None:
    assert found(two_fields("type = 'u8', units = 'V'", "type = 'f32be', units = 'V', scale = 0.1")) == []
    assert (
        found(
            two_fields("type = 'u8'", "type = 'text', length = 1").replace("[message.b]", "[message.b]\nfamily = 'g'")
        )
        == []
    )


def test_attempts_longer_than_a_commands_life_are_warned_of() -> None:
    text = PUMP.replace('timeout = "400ms"', 'timeout = "1s"')
    assert [(problem.key, problem.severity) for problem in found(text)] == [("setpoint.speed.attempts", "warning")]


def test_a_setpoint_says_how_it_is_confirmed() -> None:
    text = "".join(line for line in PUMP.splitlines(keepends=True) if not line.startswith(("report", "ack")))
    assert [problem.key for problem in found(text)] == ["setpoint.speed.confirm"]
    assert found(text.replace("tolerance = 10", 'tolerance = 10\nconfirm = "none"')) == []


def test_transforms_that_wait_for_each_other_are_refused() -> None:
    message = (
        "[message.{0}]\nwhen = {{ can_id = {1} }}\n"
        "transform = {{ use = 't', with = ['{2}'], gives = [{{ name = '{0}x' }}] }}\n"
    )
    text = CAN + message.format("a", 1, "b") + message.format("b", 2, "c") + message.format("c", 3, "a")
    assert [problem.key for problem in found(text)] == [
        "message.a.transform.with[0]",
        "message.b.transform.with[0]",
        "message.c.transform.with[0]",
    ]


def test_a_missing_dbc_is_told_at_its_name() -> None:
    text = CAN + '[dbc]\nfile = "none.dbc"\n[message.a]\ndbc = "A"\n[setpoint.s]\nwrite = "B.x"\nreport = "a.y"\n'
    assert [(problem.line, problem.key) for problem in found(text)] == [(7, "dbc.file")]


@pytest.mark.parametrize("name", ["../x.dbc", "/etc/passwd", "a\\\\b.dbc", ".."])
def test_a_dbc_stands_beside_its_profile(name: str) -> None:
    text = CAN + f'[dbc]\nfile = "{name}"\n'
    assert [problem.key for problem in found(text)] == ["dbc.file"]


@pytest.mark.parametrize(
    ("data", "line"),
    [
        (b"\xff\xfe", 1),
        (b"[profile]\nid = 'x'\n\xe9", 3),
        (b"[profile]\nid = \n", 2),
        (b"[profile\n", 1),
        (b"a = 1\n" * 2, 2),
        (b"#" * 10_000_000, 1),
        (b"a = " + b"[" * 100_000, 1),
        (b"a = 1\nb = " + b"{ x = " * 5_000, 2),
        (b"x = 1\n" + b"a." * 500_000 + b"a = 1", 2),
        (b"x = 1\n" + b'"a".' * 500_000 + b"a = 1", 2),
        (b"\nx = " + b"9" * 100_000, 2),
        (b"x = " + b"[" * 60 + b"1" + b"]" * 60, 1),
        (b"\x00", 1),
    ],
    ids=[
        "no text",
        "latin-1",
        "no value",
        "open header",
        "key twice",
        "10 MB",
        "deep lists",
        "deep tables",
        "long key",
        "long quoted key",
        "long number",
        "60 lists",
        "NUL",
    ],
)
def test_a_file_that_is_no_profile_is_told_quickly_and_once(data: bytes, line: int) -> None:
    problems = examine("p.toml", data, None, lambda _name: b"").problems
    assert [problem.line for problem in problems] == [line]
    assert len(str(problems[0])) < 400


def test_thousands_of_mistakes_are_told_by_the_first_hundreds() -> None:
    text = CAN + "".join(f"x{number} = 1\n" for number in range(20_000))
    assert len(found(text)) == 500


def test_thousands_of_messages_are_checked_in_a_moment() -> None:
    rows = (f"[message.m{n}]\nwhen = {{ bytes = {{ 0 = {n % 256}, 1 = {n // 256} }} }}\n" for n in range(4_000))
    assert found(CAN + "".join(rows)) == []


VALUES = st.one_of(
    st.integers(-(10**30), 10**30),
    st.floats(),
    st.booleans(),
    st.text(alphabet="abc{}0x+ .@/-", max_size=8),
    st.sampled_from(["", "rest", "u8", "1..2", "{unit}", "-1s"]),
)
TREES = st.recursive(
    VALUES,
    lambda inner: st.one_of(st.lists(inner, max_size=3), st.dictionaries(st.sampled_from("ab01"), inner, max_size=3)),
)


def as_toml(value: object) -> str:
    if isinstance(value, bool):
        return "true" if value else "false"
    if isinstance(value, dict):
        return "{ " + ", ".join(f'"{key}" = {as_toml(item)}' for key, item in value.items()) + " }"
    if isinstance(value, list):
        return "[" + ", ".join(map(as_toml, value)) + "]"
    if isinstance(value, str):
        return f'"{value}"'
    return str(value)


PLACES = [
    row for row in PUMP.split("\n") if " = " in row and not row.startswith(" ") and row.count("[") == row.count("]")
]


@given(place=st.sampled_from(PLACES), value=TREES)
def test_any_value_at_any_key_gives_problems_and_never_an_exception(place: str, value: object) -> None:
    key = place.partition(" = ")[0]
    for problem in found(PUMP.replace(place, f"{key} = {as_toml(value)}")):
        assert problem.line >= 1
        assert problem.message


@given(cut=st.integers(0, len(PUMP)), length=st.integers(0, 200))
def test_a_profile_with_a_piece_missing_gives_problems_and_never_an_exception(cut: int, length: int) -> None:
    for problem in found(PUMP[:cut] + PUMP[cut + length :]):
        assert problem.line >= 1
