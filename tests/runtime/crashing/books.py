"""What a caller, a device and a ledger saw over all runs, held against each other. Raises AssertionError."""

from __future__ import annotations

from collections import Counter
from typing import Any, Final, NamedTuple

from gateway.ledger.record import Gap, Record
from tests.runtime.crashing.doser import NAMES, SETPOINTS

ATTEMPTS: Final = {name: SETPOINTS[name].spec.attempts for name in NAMES}
IDEMPOTENT: Final = {name: SETPOINTS[name].spec.idempotent for name in NAMES}
ROUTES: Final = {name: str(SETPOINTS[name].route("doser")) for name in NAMES}
_NAMES: Final = {route: name for name, route in ROUTES.items()}


class Wanted(NamedTuple):
    """One request of a caller."""

    name: str
    value: int
    principal: str
    key: str | None


class Intended(NamedTuple):
    """One intent that the ledger took."""

    name: str
    value: int
    expires_ns: int
    made_ns: int  # true time
    key: tuple[str, str] | None


class Books:
    """Everything that was promised, and everything that was done."""

    def __init__(self) -> None:
        self.intents: dict[str, Intended] = {}
        self.results: dict[str, dict[str, Any]] = {}
        self.approved: set[str] = set()
        self.effects: Counter[str] = Counter()  # by id
        self.noted: Counter[str] = Counter()  # sendings on record, by id
        self.forgotten: Counter[str] = Counter()  # sendings that crashes took off the record
        self.told: dict[str, tuple[str, int]] = {}  # outcome and receipt, by id
        self.told_ids: set[str] = set()
        self.told_version = 0
        self.id_of_key: dict[tuple[str, str], str] = {}
        self.body_of_key: dict[tuple[str, str], tuple[str, int]] = {}
        self.walled: bool = False  # as somebody was told
        self.latest: dict[tuple[str, str], Any] = {}  # kind and setpoint -> body of its newest record
        self.seqs: dict[str, int] = {}  # of intents
        self._made_ns: dict[str, int] = {}  # true time, also of what a crash took

    # ---- the ledger

    def took(self, seq: int, kind: str, route: str | None, body: Any, wall_error_ns: int = 0) -> None:
        """A record came in, while the wall clock was off by so much."""
        name = _NAMES.get(route or "", "")
        if kind == "command_intent":
            key = None if body.get("key") is None else (body["principal"], body["key"])
            made_ns = self._made_ns.setdefault(body["id"], body["made_wall_ns"] - wall_error_ns)
            assert body["id"] not in self.intents, f"two intents of {body['id']}"
            self.intents[body["id"]] = Intended(name, body["value"], body["expires_after_ns"], made_ns, key)
            self.seqs[body["id"]] = seq
        elif kind == "command_result":
            assert body["id"] in self.intents, f"a result of {body['id']}, which has no intent"
            assert body["id"] not in self.results, f"two results of {body['id']}: {self.results[body['id']]} and {body}"
            self.results[body["id"]] = body | {"receipt": seq}
        elif kind == "command_sent":
            self.noted[body["id"]] += 1
        elif kind == "approval" and body["verdict"] == "approve":
            self.approved.add(body["id"])
        elif kind in {"desired", "effective"}:
            self.latest[kind, name] = body

    def reread(self, found: list[Record | Gap]) -> None:
        """Take what a new run finds: what was told must be there, and what nobody heard of may be gone."""
        self.intents, self.results, self.approved, self.latest, self.seqs = {}, {}, set(), {}, {}
        self.noted.clear()
        for each in found:
            assert isinstance(each, Record), f"records are missing: {each}"
            self.took(each.seq, each.kind, each.route, each.body if each.is_json else None)
        for command_id in self.told_ids:
            assert command_id in self.intents, f"{command_id} was told, and its intent is gone"
        for command_id in self.told:
            self.check_told(command_id)
        for command_id in self.effects:
            assert command_id in self.intents, f"{command_id} had an effect, and its intent is gone"
            gone = self.effects[command_id] - self.noted[command_id] - self.forgotten[command_id]
            assert gone <= 1, f"a crash forgot {gone} sendings of {command_id}"
            self.forgotten[command_id] += gone
        self.check_keys()

    def check_told(self, command_id: str) -> None:
        """An outcome that was told is the one on record."""
        result = self.results.get(command_id)
        assert result is not None, f"{command_id} was told to be {self.told[command_id]}, and nothing is on record"
        assert (result["outcome"], result["receipt"]) == self.told[command_id], f"{command_id} changed its outcome"

    def check_keys(self) -> None:
        """A key has one intent."""
        keys = Counter(each.key for each in self.intents.values() if each.key is not None)
        assert not [key for key, count in keys.items() if count > 1], f"a key did two things: {keys}"

    # ---- the wire

    def wrote(self, name: str, value: int, true_ns: int, durable_seq: int) -> None:
        """Bytes went out: somebody wants that, it is on the medium, it is still time, and nobody was told otherwise."""
        meant = [
            command_id for command_id, each in self.intents.items()
            if (each.name, each.value) == (name, value) and command_id not in self.results
        ]  # fmt: skip
        assert len(meant) == 1, f"{name} = {value} was written, and no open intent of the ledger says so"
        (command_id,) = meant
        self.effects[command_id] += 1
        assert self.seqs[command_id] <= durable_seq, f"{command_id} was written before its intent was on the medium"
        age_ns = true_ns - self.intents[command_id].made_ns
        assert age_ns < self.intents[command_id].expires_ns, f"{command_id} was sent {age_ns / 1e9} s after it was made"
        assert not self.walled, f"{command_id} went through a wall"
        if name == "gate":
            assert command_id in self.approved, f"{command_id} was sent without approval"
        most = ATTEMPTS[name] + self.forgotten[command_id] if IDEMPOTENT[name] else 1
        assert self.effects[command_id] <= most, f"{command_id} was sent {self.effects[command_id]} times"

    # ---- callers

    def answered(self, wanted: Wanted, told: dict[str, Any]) -> None:
        """A caller has an answer."""
        key = None if wanted.key is None else (wanted.principal, wanted.key)
        body = (wanted.name, wanted.value)
        command_id = told["id"]
        if command_id is None:
            assert told["outcome"] is None
            self._refused(told["reason"], key, body)
            return
        assert command_id in self.intents, f"{command_id} was told before its intent was on the medium"
        intent = self.intents[command_id]
        assert (intent.name, intent.value) == body, f"asked for {body}, answered with {intent}"
        self.told_ids.add(command_id)
        if key is not None:
            assert self.body_of_key.setdefault(key, body) == body, f"key {key} was taken with another body"
            assert self.id_of_key.setdefault(key, command_id) == command_id, f"key {key} stands for two commands"
        if told["outcome"] is not None:
            self.ended(command_id, told["outcome"], told["receipt"])

    def _refused(self, reason: str, key: tuple[str, str] | None, body: tuple[str, int]) -> None:
        if reason == "key_reused":
            mine = [each for each in self.intents.values() if key is not None and each.key == key]
            assert mine, f"key {key} was refused, and stands for nothing on record"
            assert body not in [(each.name, each.value) for each in mine], f"key {key} was refused for its own {body}"
        else:
            assert reason == "denied", reason

    def ended(self, command_id: str, outcome: str, receipt: int) -> None:
        """Somebody heard of an outcome."""
        assert self.told.setdefault(command_id, (outcome, receipt)) == (outcome, receipt), "it changed its mind"
        self.check_told(command_id)
