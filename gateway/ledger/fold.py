"""Layer 2: the state that a run of records leaves behind: what is latest, what is open, what was told. Pure.

Folding records on top of the fold of the earlier ones is folding all of them; that is what snapshots rest on. Order is
the sequence number's alone: a record that is not newer than what was folded changes nothing. Everything is bounded;
what no longer fits is counted.
"""

from __future__ import annotations

from base64 import b64decode, b64encode
from collections.abc import Iterable
from typing import Any, Final

import msgspec

from gateway.ledger.record import Gap, Record, decode_json

MAX_ROUTES: Final = 65_535  # of each register
MAX_OPEN: Final = 4_096  # commands without an outcome
MAX_DONE: Final = 1_000  # commands that came to an end
MAX_KEYED: Final = 10_000  # those among them with an idempotency key, which must be known for a day
MAX_CURSORS: Final = 1_000
MAX_TOLD: Final = 1_000  # gap and damage records
REGISTERS: Final = frozenset(
    {
        "reading", "state", "desired", "reported", "effective", "lifecycle", "profile", "schema", "route", "denied",
        "grant", "wall", "job", "approval", "note",
    }
)  # fmt: skip
"""Kinds of which the latest of each route is the state."""


class Latest(msgspec.Struct, frozen=True, gc=False):
    """The newest record of one kind and route."""

    seq: int
    wall_ns: int
    boot_no: int
    raw: bytes
    is_json: bool

    @property
    def body(self) -> Any:
        """Return the body: what its JSON says, or the bytes."""
        return decode_json(self.raw) if self.is_json else self.raw


class Command(msgspec.Struct, frozen=True, gc=False):
    """One command: its intent and, by sequence numbers, what became of it."""

    seq: int  # of the intent: its id
    route: str | None
    intent: Any
    sent: int | None = None
    sendings: int = 0
    outcome: int | None = None
    result: Any = None


class State(msgspec.Struct):
    """Everything that can be known of a ledger without reading it again."""

    seq: int = 0  # up to and with this record
    incarnation: int = 1
    registers: dict[str, dict[str, Latest]] = msgspec.field(default_factory=dict)  # kind -> route -> latest
    open_commands: dict[int, Command] = msgspec.field(default_factory=dict)  # by the intent's number
    done_commands: dict[int, Command] = msgspec.field(default_factory=dict)  # the last; those with a key stay longer
    cursors: dict[str, int] = msgspec.field(default_factory=dict)
    boot: Latest | None = None
    clock: Latest | None = None
    snapshot: Latest | None = None
    boots: int = 0
    is_clock_sure: bool = False  # the newest record was made while the network set the clock
    sure_wall_ns: int = 0  # the newest wall time recorded so: it has certainly passed
    gaps: list[Any] = msgspec.field(default_factory=list)  # bodies of the last MAX_TOLD gap records, with their seq
    damage: list[Any] = msgspec.field(default_factory=list)
    counts: dict[str, int] = msgspec.field(default_factory=dict)  # records by kind
    overflowed: int = 0  # routes, commands, cursors and declarations that were too many to keep

    def apply(self, record: Record) -> None:
        """Take the next record; one that is not newer than what was folded changes nothing."""
        if record.seq <= self.seq:
            return
        self.seq = record.seq
        self.incarnation = record.incarnation
        kind = record.kind
        counts = self.counts
        counts[kind] = counts.get(kind, 0) + 1
        if kind in REGISTERS:
            self._latest(kind, record)
        elif kind == "cursor":
            self._cursor(_said(record))
        elif kind in {"gap", "damage"}:
            told = self.gaps if kind == "gap" else self.damage
            told.append({"seq": record.seq, "body": _said(record)})
            if len(told) > MAX_TOLD:
                del told[0]
                self.overflowed += 1
        elif kind.startswith("command_"):
            self._command(record)
        elif kind in {"boot", "clock", "snapshot"}:
            setattr(self, kind, _latest_of(record))
            self.boots += kind == "boot"
            self._judge_clock(record)
        if self.is_clock_sure:
            self.sure_wall_ns = max(self.sure_wall_ns, record.wall_ns)

    def _judge_clock(self, record: Record) -> None:
        """Take how far the clock can be believed: as its last record says; after a start nobody knows yet."""
        if record.kind == "boot":
            self.is_clock_sure = False
        elif record.kind == "clock":
            body = _said(record)
            self.is_clock_sure = isinstance(body, dict) and body.get("quality") == "ntp"

    def apply_many(self, records: Iterable[Record | Gap]) -> None:
        """Take records in order; gaps between them say nothing about the state."""
        for record in records:
            if isinstance(record, Record):
                self.apply(record)

    def latest(self, kind: str) -> dict[str, Latest]:
        """Return the newest record of each route of one kind; a record about the whole gateway has the route ""."""
        return self.registers.get(kind, {})

    def _latest(self, kind: str, record: Record) -> None:
        """Put a record where its route's latest is, last in order: the first is the one that was quiet longest."""
        register = self.registers.get(kind)
        if register is None:
            register = self.registers[kind] = {}
        route = record.route or ""
        if register.pop(route, None) is None and len(register) >= MAX_ROUTES:
            del register[next(iter(register))]
            self.overflowed += 1
        register[route] = Latest(record.seq, record.wall_ns, record.boot_no, record.raw, record.is_json)

    def _cursor(self, body: Any) -> None:
        if not isinstance(body, dict) or not isinstance(body.get("consumer"), str):
            return
        name, seq = body["consumer"], body.get("seq")
        if not isinstance(seq, int) or isinstance(seq, bool):
            return
        if name not in self.cursors and len(self.cursors) >= MAX_CURSORS:
            self.overflowed += 1
            return
        self.cursors[name] = max(seq, self.cursors.get(name, 0))

    def _command(self, record: Record) -> None:
        body = _said(record)
        if record.kind == "command_intent":
            self.open_commands[record.seq] = Command(record.seq, record.route, body)
            if len(self.open_commands) > MAX_OPEN:
                del self.open_commands[next(iter(self.open_commands))]
                self.overflowed += 1
            return
        intent = self._intent_of(record.cause)
        if intent is None:
            return
        command = self.open_commands[intent]
        if record.kind == "command_sent":
            self.open_commands[intent] = msgspec.structs.replace(
                command, sent=record.seq, sendings=command.sendings + 1
            )
            return
        del self.open_commands[intent]
        self.done_commands[intent] = msgspec.structs.replace(command, outcome=record.seq, result=body)
        self._forget_done()

    def _forget_done(self) -> None:
        """Let the oldest command go that has ended; one with a key only where nothing else is left to go."""
        done = self.done_commands
        if len(done) <= MAX_DONE:
            return
        oldest = next((seq for seq, command in done.items() if not _has_key(command)), None)
        if oldest is None and len(done) > MAX_KEYED:
            oldest = next(iter(done))
        if oldest is not None:
            del done[oldest]

    def _intent_of(self, cause: int | None) -> int | None:
        """Return the open intent that a record answers: by its own number, or by that of its last sending."""
        if cause in self.open_commands:
            return cause
        newest_first = reversed(self.open_commands.items())
        return next((seq for seq, command in newest_first if command.sent == cause), None)

    def as_json(self) -> dict[str, Any]:
        """Return it as JSON says it; `from_json` gives back an equal one."""
        found: dict[str, Any] = msgspec.to_builtins(self, builtin_types=(bytes,), str_keys=True)
        found["registers"] = {
            kind: {route: _latest_as_json(latest) for route, latest in register.items()}
            for kind, register in self.registers.items()
        }
        for name in ("boot", "clock", "snapshot"):
            latest = getattr(self, name)
            found[name] = None if latest is None else _latest_as_json(latest)
        return found

    @classmethod
    def from_json(cls, told: dict[str, Any]) -> State:
        """Return the state that `as_json` said. Raises: ValueError for what it never says."""
        try:
            plain = dict(told)
            plain["registers"] = {
                kind: {route: _latest_from_json(latest) for route, latest in register.items()}
                for kind, register in told["registers"].items()
            }
            for name in ("boot", "clock", "snapshot"):
                plain[name] = None if told.get(name) is None else _latest_from_json(told[name])
            return msgspec.convert(plain, cls, strict=False)
        except (msgspec.ValidationError, KeyError, AttributeError, TypeError, ValueError) as error:
            raise ValueError(f"no state: {error}") from error


def _has_key(command: Command) -> bool:
    return isinstance(command.intent, dict) and command.intent.get("key") is not None


def _said(record: Record) -> Any:
    """Return a body: what its JSON says, bytes as hex, and as text what calls itself JSON and is none."""
    if not record.is_json:
        return record.raw.hex()
    try:
        return record.body
    except (ValueError, RecursionError):
        return record.raw.decode("utf-8", "replace")


def _latest_of(record: Record) -> Latest:
    return Latest(record.seq, record.wall_ns, record.boot_no, record.raw, record.is_json)


def _latest_as_json(latest: Latest) -> dict[str, Any]:
    told: dict[str, Any] = {"seq": latest.seq, "wall_ns": latest.wall_ns, "boot_no": latest.boot_no}
    text = None
    if latest.is_json:
        try:
            text = latest.raw.decode()
        except UnicodeDecodeError:
            text = None
    return told | ({"json": text} if text is not None else {"base64": b64encode(latest.raw).decode(),
                                                             "is_json": latest.is_json})  # fmt: skip


def _latest_from_json(told: dict[str, Any]) -> Latest:
    is_text = "json" in told
    raw = told["json"].encode() if is_text else b64decode(told["base64"])
    return Latest(told["seq"], told["wall_ns"], told["boot_no"], raw, is_text or bool(told.get("is_json")))
