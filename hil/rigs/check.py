"""What is wrong with a rig file: everything at once, each with its place and what mends it. No port is opened."""

from __future__ import annotations

import re
import shlex
from collections.abc import Iterator
from pathlib import Path
from typing import Any, Final, NamedTuple

import msgspec

from gateway.environment import variable
from gateway.errors import Problem
from gateway.notation import duration_ns
from gateway.profile.findings import Findings
from gateway.profile.positions import Path as KeyPath
from gateway.profile.positions import key_text
from gateway.profile.structure import walk
from gateway.spelling import did_you_mean
from hil.rigs.identity import SHOWN_BY, doubt_about, problem_with, same
from hil.rigs.model import KEYS, POWER_WAYS, ResourceSpec, RigFile, StateSpec, TargetSpec
from hil.rigs.source import Source, Variable, sources
from hil.rigs.standard import PROTOCOLS, STATES

NAME: Final = re.compile(r"[A-Za-z0-9][A-Za-z0-9_-]*")
MOST_RETRIES: Final = 100
TALKING: Final = ("uart", "can", "ble", "spi")


class Examined(NamedTuple):
    """What came of a rig file."""

    rig: RigFile | None  # as far as it can be understood
    problems: list[Problem]  # in the order of the files
    unreadable: str | None = None  # why there is nothing to look at


def examine(file: Path, environment: Variable = variable) -> Examined:
    """Return what a rig file says and everything that is wrong with it. Never raises for what is in it."""
    try:
        source = sources(file, environment)
    except (OSError, ValueError) as error:  # the latter for a name with a NUL
        reason = getattr(error, "strerror", None) or error
        return Examined(
            None, [], f"{file} cannot be read: {reason}; name a rig file, or leave it out for the simulated rig"
        )
    if not source.is_readable:
        return Examined(None, _sorted(source))
    good = walk(source, source.raw, RigFile)
    rig = _salvaged(good)
    _check(rig, source, Findings(source))
    return Examined(rig, _sorted(source))


def _salvaged(good: dict[str, Any]) -> RigFile:
    """Return the rig as far as the data gives one: what does not convert, and was told of, is left out."""
    try:
        return msgspec.convert(good, RigFile)
    except msgspec.ValidationError:
        targets = {
            name: _only(table, TargetSpec, ("resource", "state")) for name, table in good.get("target", {}).items()
        }
        return msgspec.convert(_only({**good, "target": targets}, RigFile, ()), RigFile)


def _only(table: dict[str, Any], model: type, folders: tuple[str, ...]) -> dict[str, Any]:
    """Return the keys of a table that convert, and of its tables of tables the entries that do."""
    tables = {
        key: {name: item for name, item in table[key].items() if _converts({key: {name: item}}, model)}
        for key in folders
        if key in table
    }
    return {key: value for key, value in {**table, **tables}.items() if _converts({key: value}, model)}


def _converts(part: dict[str, Any], model: type) -> bool:
    try:
        msgspec.convert(part, model)
    except msgspec.ValidationError:
        return False
    return True


def _sorted(source: Source) -> list[Problem]:
    """Return the problems file by file, each in its order."""
    files = list(dict.fromkeys(problem.file for problem in source.problems))
    files.sort(key=lambda file: file != source.file)
    return [problem for file in files for problem in source.sorted_problems() if problem.file == file]


def _check(rig: RigFile, source: Source, found: Findings) -> None:
    if not rig.rig.name.strip():
        found.error(("rig", "name"), "missing; give the rig a name, for example name = 'bench-1'")
    if not rig.target and not found.written(("target",)):
        found.error(("target",), "no target; a rig has at least one [target.NAME]")
    for name, target in rig.target.items():
        path = ("target", name)
        _check_name(name, path, found)
        _check_states(target, path, found)
        for resource, spec in target.resource.items():
            _check_resource(resource, spec, (*path, "resource", resource), found)
        _check_mixture(target, path, found)
        if not target.resource and found.written((*path, "resource")) is None:
            found.warn(path, f"no resource, so nothing can be tested on it; write [target.{name}.resource.uart0]")
        for state, how in target.state.items():
            _check_state(state, how, target, (*path, "state", state), found)
    _check_identities(rig, source, found)


def _check_name(name: str, path: KeyPath, found: Findings) -> None:
    if not NAME.fullmatch(name):
        found.error(path, f"{name[:40]!r} is no name; use letters, digits, '_' and '-'")


def _check_states(target: TargetSpec, path: KeyPath, found: Findings) -> None:
    if found.is_touched((*path, "states")):
        return
    wanted = [state for state in STATES if state in target.states]
    if not target.states:
        found.error((*path, "states"), f"an empty list; some of {', '.join(STATES)}, or leave it out for all")
    elif len(set(target.states)) < len(target.states):
        found.error((*path, "states"), f"a state stands twice; write {wanted}")
    elif target.states != wanted:
        found.error((*path, "states"), f"a board goes through its states in order; write {wanted}")


def _check_mixture(target: TargetSpec, path: KeyPath, found: Findings) -> None:
    """Refuse what would run on two clocks: simulated buses are in virtual time, real ones in the machine's."""
    if all(spec.sim for spec in target.resource.values()):
        return
    for name, spec in target.resource.items():
        where = (*path, "resource", name, "sim")
        if spec.sim and spec.protocol == "power":
            found.warn(where, "beside real ports it switches nothing: the board stays on")
        elif spec.sim and spec.port is None:
            found.error(where, "real ports of its target run in real time, this one would not; give it its own target")


def _check_resource(name: str, spec: ResourceSpec, path: KeyPath, found: Findings) -> None:
    _check_name(name, path, found)
    protocol = spec.protocol
    if protocol is None:
        found.error((*path, "protocol"), f"missing; one of {', '.join(PROTOCOLS)}")
        return
    if name in PROTOCOLS and name != protocol:
        found.error(
            path, f"called {name!r} and of protocol {protocol!r}: who needs {name!r} could mean either; rename it"
        )
    written = found.written(path) or {}
    strange = {key for key in written if key not in KEYS[protocol] and any(key in keys for keys in KEYS.values())}
    for key in sorted(strange):
        owners = [owner for owner, keys in KEYS.items() if key in keys]
        found.error((*path, key), f"{key!r} is for {' and '.join(owners)}, not for protocol {protocol!r}")
    _check_numbers(spec, path, found)
    if protocol == "power":
        _check_power(spec, written, path, found)
    else:
        _check_ports(spec, written, path, found)


def _check_ports(spec: ResourceSpec, written: dict[str, Any], path: KeyPath, found: Findings) -> None:
    assert spec.protocol is not None
    if spec.sim and "port" in written:
        found.error((*path, "sim"), "simulated and with a port; keep one of sim = true and port")
    elif spec.agent is not None:
        _check_agent(spec, path, found)
    elif not spec.sim and "port" not in written and not found.is_touched((*path, "sim")):
        hint = f"missing; the board's own identity such as 'usb:VID:PID:SERIAL' ({SHOWN_BY}), or sim = true"
        found.error((*path, "port"), hint)
    if spec.sim and spec.peer is not None:
        found.error((*path, "peer"), "a simulated resource has its peer; take this out")
    for key in ("port", "peer"):
        port = getattr(spec, key)
        if port is None:
            continue
        problem = problem_with(spec.protocol, port)
        doubt = doubt_about(spec.protocol, port) if problem is None else None
        if problem is not None:
            found.error((*path, key), problem)
        elif doubt is not None and not spec.shared:
            found.warn((*path, key), doubt)


def _check_agent(spec: ResourceSpec, path: KeyPath, found: Findings) -> None:
    from hil.agent.dialling import checked  # ssl and all that, for those who have one

    assert spec.agent is not None
    if spec.sim or spec.port is not None:
        found.error((*path, "agent"), "the agent knows the port; take out `port` and `sim` here")
    problem = checked(spec.agent)
    if problem is not None:
        found.error((*path, "agent"), problem)


def _check_power(spec: ResourceSpec, written: dict[str, Any], path: KeyPath, found: Findings) -> None:
    ways = [way for way in POWER_WAYS if way in written and not (way == "hand" and written[way] is False)]
    if spec.sim:
        ways = ["sim", *ways]
    if not ways:
        found.error((*path, "hand"), "missing; how is it switched? sim, hand, hub, gpiochip or command_on")
    elif len(ways) > 1:
        found.error((*path, ways[1]), f"{' and '.join(ways)} are {len(ways)} ways to switch it; keep one")
    for way, (needed, also) in POWER_WAYS.items():
        for key in needed:
            if way in written and key not in written:
                found.error((*path, key), f"missing; {way!r} needs it")
        for key in (*needed, *also):
            if key in written and way not in written:
                found.error((*path, key), f"belongs to {way!r}, which is missing")
    for key in ("hub", "gpiochip"):
        if getattr(spec, key) is not None and not re.fullmatch(r"[\w.:/@+-]+", getattr(spec, key)):
            found.error((*path, key), f"{getattr(spec, key)[:40]!r} is no {'hub' if key == 'hub' else 'chip'}")
    for key in ("command_on", "command_off"):
        _check_command(getattr(spec, key), (*path, key), found)


def _check_numbers(spec: ResourceSpec, path: KeyPath, found: Findings) -> None:
    for key in ("baud", "bitrate", "data_bitrate", "speed_hz"):
        value = getattr(spec, key)
        if value is not None and not 0 < value <= 1_000_000_000:
            found.error((*path, key), f"{value} is no rate")
    limits = {"mode": (0, 3), "bits": (1, 32), "hub_port": (1, 31), "line": (0, 1023)}
    for key, (low, high) in limits.items():
        value = getattr(spec, key)
        if value is not None and not low <= value <= high:
            found.error((*path, key), f"{value} is outside {low}..{high}")
    if spec.stop_bits not in {None, 1, 1.5, 2}:
        found.error((*path, "stop_bits"), f"{spec.stop_bits} is not allowed; one of 1, 1.5, 2")
    if spec.data_bitrate is not None and not spec.fd:
        found.error((*path, "data_bitrate"), "needs fd = true")


def _check_state(state: str, how: StateSpec, target: TargetSpec, path: KeyPath, found: Findings) -> None:
    if state not in STATES:
        found.error(path, f"unknown state {state[:40]!r}{did_you_mean(state, STATES)}")
    elif state not in target.states and not found.is_touched((*path[:2], "states")):
        found.error(path, f"{state!r} is not among the states of this target; add it there, or take this out")
    if how.timeout is not None and duration_ns(how.timeout) <= 0:
        found.error((*path, "timeout"), "must be longer than nothing")
    if not 0 <= how.retries <= MOST_RETRIES:
        found.error((*path, "retries"), f"{how.retries} is outside 0..{MOST_RETRIES}")
    _check_command(how.command, (*path, "command"), found)
    for pair in (("send", "send_hex"), ("expect", "expect_hex")):
        if all(getattr(how, key) is not None for key in pair):
            found.error((*path, pair[1]), f"beside {pair[0]!r}; keep one")
    if how.expect is not None:
        try:
            re.compile(how.expect.encode())
        except (re.error, OverflowError, RecursionError) as error:
            found.error((*path, "expect"), f"{how.expect[:40]!r} is no regular expression: {error}")
    _check_talk(how, target, path, found)


def _check_talk(how: StateSpec, target: TargetSpec, path: KeyPath, found: Findings) -> None:
    """Check that there is somebody to talk to, and in its words."""
    told = {name: getattr(how, name) for name in ("send", "send_hex", "send_id", "expect", "expect_hex", "expect_id")}
    keys = [name for name, value in told.items() if value is not None]
    names = [name for name, spec in target.resource.items() if spec.protocol in TALKING]
    resources = found.written((*path[:2], "resource")) or {}
    if how.on is not None and how.on not in names:
        if how.on not in resources or how.on in target.resource:
            found.error((*path, "on"), f"no resource {how.on!r} to talk to{did_you_mean(how.on, names)}")
        return
    if keys and not names:
        if not resources:
            found.error((*path, keys[0]), "nobody to talk to: the target has no resource but power")
        return
    on = how.on or next(iter(names), None)
    protocol = target.resource[on].protocol if on is not None else None
    for key in ("send_id", "expect_id"):
        if told[key] is None:
            continue
        if protocol != "can":
            found.error((*path, key), f"an id is for can; {on!r} is of protocol {protocol!r}")
        elif not 0 <= told[key] <= 0x1FFFFFFF:
            found.error((*path, key), f"{told[key]:#x} does not fit the 29 bits of a CAN id")
    if protocol == "can" and (how.send or how.send_hex) is not None and how.send_id is None:
        found.error((*path, "send_id"), "missing; a CAN frame needs an id")
    if protocol == "ble" and (how.send or how.send_hex) is not None:
        found.error(
            (*path, "send" if how.send else "send_hex"), "nothing is sent over the air; only expect works on ble"
        )


def _check_command(command: str | list[str] | None, path: KeyPath, found: Findings) -> None:
    if command is None:
        return
    try:
        words = shlex.split(command) if isinstance(command, str) else command
    except ValueError as error:
        found.error(path, f"cannot be split into words: {error}")
        return
    if not words or not words[0]:
        found.error(path, "an empty command; give the program and its arguments")
    elif any("\0" in word for word in words):
        found.error(path, "a command has no NUL")


def _check_identities(rig: RigFile, source: Source, found: Findings) -> None:
    """Refuse two resources that are, or may be, one piece of hardware: a test would run on the wrong board."""
    known: list[tuple[str, str, KeyPath, bool]] = []
    for kind, text, path, is_shared in _identities(rig):
        for other_kind, other, other_path, other_shared in known:
            if kind != other_kind or not (same(text, other) if kind == "port" else text == other):
                continue
            if is_shared and other_shared:
                continue
            where = f"{key_text(other_path)} too ({source.place(other_path)})"
            message = f"{text!r} is {where}; a board has an identity of its own"
            sharing = "; if one wire serves both, write shared = true in both" if kind == "port" else ""
            found.error(path, message + sharing)
            break
        known.append((kind, text, path, is_shared))


def _identities(rig: RigFile) -> Iterator[tuple[str, str, KeyPath, bool]]:
    for name, target in rig.target.items():
        for resource, spec in target.resource.items():
            path = ("target", name, "resource", resource)
            for key in ("port", "peer"):
                if getattr(spec, key):
                    yield "port", getattr(spec, key), (*path, key), spec.shared
            if spec.hub is not None and spec.hub_port is not None:
                yield "hub", f"{spec.hub} port {spec.hub_port}", (*path, "hub_port"), False
            if spec.gpiochip is not None and spec.line is not None:
                yield "gpio", f"{spec.gpiochip} line {spec.line}", (*path, "line"), False
