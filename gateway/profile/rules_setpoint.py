"""Layer 3: rules of `[setpoint]` and `[lifecycle]` (PROFILES 6, 7): every reference leads somewhere."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any, Final

from gateway.notation import duration_ns
from gateway.profile.findings import Findings
from gateway.profile.model import ConnectStep, Profile, SetpointSpec
from gateway.profile.positions import Path
from gateway.profile.rules_link import check_duration_range, check_name
from gateway.profile.rules_message import all_fields
from gateway.shadow.intent import EXPIRY_NS
from gateway.spelling import did_you_mean

_STEPS: Final = ("ask", "write", "send", "set", "wait")


class References:
    """Looks up "message.field" texts in one profile, DBC messages included."""

    def __init__(self, profile: Profile, found: Findings) -> None:
        self.found = found
        self._foreign = {name for name, spec in profile.message.items() if spec.construct is not None}
        self._fields = {
            name: [field.name for field in all_fields(spec) if field.name] for name, spec in profile.message.items()
        }

    def message(self, name: str, path: Path) -> bool:
        """Report at `path` if there is no message `name`; return whether its fields can be looked at."""
        if name in self._fields:
            return name not in self.found.unusable and name not in self._foreign
        if not self.found.may_exist(name):
            self.found.error(path, f"no message {name!r}{did_you_mean(name, self._fields)}")
        return False

    def field(self, message: str, name: str, path: Path) -> None:
        """Report at `path` if the message, which exists, has no such field."""
        known = self._fields[message]
        if name not in known:
            self.found.error(path, f"message {message!r} has no field {name!r}{did_you_mean(name, known)}")

    def both(self, text: str, path: Path) -> str | None:
        """Check "message.field"; return the message where all is right."""
        message, dot, field = text.partition(".")
        if not (message and dot and field):
            self.found.error(path, f"{text!r} is no reference; write 'message.field'")
            return None
        if not self.message(message, path):
            return None
        self.field(message, field, path)
        return message


def check_setpoint(name: str, profile: Profile, refs: References, found: Findings) -> None:
    """Check one `[setpoint.NAME]`."""
    spec = profile.setpoint[name]
    path: Path = ("setpoint", name)
    check_name(name, path, found)
    message = refs.both(spec.write, (*path, "write"))
    if spec.report is not None:
        reported = refs.both(spec.report, (*path, "report"))
        if reported and profile.message[reported].direction == "out":
            found.error((*path, "report"), f"message {reported!r} only goes out; it reports nothing")
    if spec.ack is not None:
        _check_ack(spec, message, path, refs, profile)
    _check_confirm(spec, path, found)
    _check_fill(spec, message, path, refs, found)
    _check_limits(spec, path, found)
    _check_attempts(spec, path, found)
    for index, condition in enumerate(spec.interlock):
        _check_interlock(condition, (*path, "interlock", index), refs, found)


def _check_ack(spec: SetpointSpec, written: str | None, path: Path, refs: References, profile: Profile) -> None:
    ack = spec.ack
    assert ack is not None
    ack_path = (*path, "ack")
    if not refs.message(ack.message, (*ack_path, "message")):
        return
    if profile.message[ack.message].direction == "out":
        refs.found.error((*ack_path, "message"), f"message {ack.message!r} only goes out; it acknowledges nothing")
    for table in ("where", "same", "accept"):
        for field in getattr(ack, table):
            refs.field(ack.message, field, (*ack_path, table, field))
    for theirs, ours in ack.same.items():
        if written is not None:
            refs.field(written, ours, (*ack_path, "same", theirs))


def _check_confirm(spec: SetpointSpec, path: Path, found: Findings) -> None:
    if spec.confirm is None and spec.report is None and spec.ack is None:
        found.error((*path, "confirm"), "missing; without report and ack, say confirm = 'none' or 'operator'")
    if spec.confirm in {"report", "ack"} and getattr(spec, spec.confirm) is None:
        found.error((*path, "confirm"), f"confirm {spec.confirm!r} needs {spec.confirm!r}, which is missing")


def _check_fill(spec: SetpointSpec, message: str | None, path: Path, refs: References, found: Findings) -> None:
    for field, value in spec.fill.items():
        here = (*path, "fill", field)
        if message is not None:
            refs.field(message, field, here)
            if spec.write == f"{message}.{field}":
                found.error(here, "is the field that is written; it cannot be filled too")
        if isinstance(value, str) and value.startswith("check:"):
            _check_known(value.removeprefix("check:"), here, found)


def _check_known(kind: str, path: Path, found: Findings) -> None:
    from gateway.framing.checks import check_of, known_checks

    try:
        check_of(kind)
    except ValueError:
        found.error(path, f"no check {kind!r}{did_you_mean(kind, known_checks())}")


def _check_limits(spec: SetpointSpec, path: Path, found: Findings) -> None:
    if spec.minimum is not None and spec.maximum is not None and spec.minimum > spec.maximum:
        found.error((*path, "minimum"), f"minimum {spec.minimum} is above maximum {spec.maximum}")
    if spec.step is not None and spec.step <= 0:
        found.error((*path, "step"), f"{spec.step} is no step; it must be above zero")
    if spec.tolerance is not None and spec.tolerance < 0:
        found.error((*path, "tolerance"), f"{spec.tolerance} is negative")
    if spec.on_fail == "safe" and spec.safe is None:
        found.error((*path, "safe"), "missing; on_fail = 'safe' needs the safe value")
    if spec.dead_man is not None and spec.safe is None:
        found.error((*path, "safe"), "missing; dead_man needs the safe value")
    if isinstance(spec.safe, int | float) and not isinstance(spec.safe, bool):
        low, high = spec.minimum, spec.maximum
        if (low is not None and spec.safe < low) or (high is not None and spec.safe > high):
            found.error((*path, "safe"), f"{spec.safe} is outside minimum..maximum")
    if spec.budget is not None and spec.budget.per_hour is not None and spec.budget.per_hour <= 0:
        found.error((*path, "budget", "per_hour"), f"{spec.budget.per_hour} is no budget")


def _check_attempts(spec: SetpointSpec, path: Path, found: Findings) -> None:
    for key in ("timeout", "repeat", "expires", "dead_man"):
        text = getattr(spec, key)
        if text is not None and duration_ns(text) <= 0:
            found.error((*path, key), f"{text!r} must be longer than nothing")
    ends = check_duration_range(spec.backoff, (*path, "backoff"), found)
    if not 1 <= spec.attempts <= 1000:
        found.error((*path, "attempts"), f"{spec.attempts} is outside 1..1000")
        return
    if spec.attempts > 1 and not spec.idempotent:
        found.error((*path, "attempts"), "more than one attempt needs idempotent = true")
    if ends is None or spec.confirm == "operator":
        return
    waits = sum(min(ends[0] << doubling, ends[1]) for doubling in range(min(spec.attempts - 1, 64)))
    needed = spec.attempts * duration_ns(spec.timeout) + waits
    if needed > EXPIRY_NS:
        message = f"all attempts need {needed / 1e9:g} s, more than the 2 s after which a command expires"
        found.warn((*path, "attempts" if spec.attempts > 1 else "timeout"), message)


def _check_interlock(condition: Any, path: Path, refs: References, found: Findings) -> None:
    if isinstance(condition, str):
        refs.both(condition.removeprefix("!"), path)
        return
    if not condition:
        found.error(path, "says nothing; write { 'message.field' = value }")
    for text in condition:
        refs.both(text, (*path, text))


def check_lifecycle(profile: Profile, refs: References, found: Findings) -> None:
    """Check `[lifecycle]` with its connect steps."""
    spec = profile.lifecycle
    path: Path = ("lifecycle",)
    for key in ("stale_after", "connect_timeout"):
        if duration_ns(getattr(spec, key)) <= 0:
            found.error((*path, key), "must be longer than nothing")
    check_duration_range(spec.reconnect, (*path, "reconnect"), found)
    if spec.version is not None:
        refs.both(spec.version, (*path, "version"))
    for index, step in enumerate(spec.connect):
        _check_step(step, (*path, "connect", index), profile, refs, found)


def _check_step(step: ConnectStep, path: Path, profile: Profile, refs: References, found: Findings) -> None:
    written = found.written(path)
    if not isinstance(written, dict):
        return
    said = [key for key in _STEPS if getattr(step, key) is not None]
    if len(said) != 1:
        if said or not set(_STEPS) & set(written):  # a wrong step was reported with its value
            words = " and ".join(said)
            message = f"{f'says {words}' if said else 'says nothing'}; give exactly one of {', '.join(_STEPS)}"
            found.error(path, message)
        return
    kind = said[0]
    if step.value is not None and kind != "set":
        found.error((*path, "value"), f"'value' goes with 'set', not with {kind!r}")
    checks: dict[str, Callable[[], None]] = {
        "ask": lambda: _check_asked(step.ask or "", (*path, "ask"), profile, refs, found),
        "set": lambda: _check_set(step, path, profile, found),
        "write": lambda: _check_write(step, (*path, "write"), profile, found),
    }
    checks.get(kind, lambda: None)()


def _check_asked(name: str, path: Path, profile: Profile, refs: References, found: Findings) -> None:
    if refs.message(name, path) and profile.message[name].ask is None:
        found.error(path, f"message {name!r} has no 'ask', so it cannot be asked for")


def _check_set(step: ConnectStep, path: Path, profile: Profile, found: Findings) -> None:
    name = step.set or ""
    if name not in profile.setpoint and "setpoint." + name not in found.unusable:
        found.error((*path, "set"), f"no setpoint {name!r}{did_you_mean(name, profile.setpoint)}")
    if step.value is None:
        found.error((*path, "value"), "missing; 'set' needs the value to set")


def _check_write(step: ConnectStep, path: Path, profile: Profile, found: Findings) -> None:
    assert step.write is not None
    if step.write.register < 0:
        found.error((*path, "register"), f"{step.write.register} is no register address")
    if not step.write.data.strip():
        found.error((*path, "data"), "nothing to write; give at least one byte")
    if found.knows_bus and profile.link.bus == "can":
        found.error(path, "a register write is for spi and Modbus, not for bus 'can'")
