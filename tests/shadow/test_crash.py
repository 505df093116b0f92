"""Commands, shadow and keys over a ledger that is cut off at any record: one outcome, at most one effect."""

from __future__ import annotations

from collections import Counter
from typing import Any, NamedTuple

import hypothesis.strategies as st
import msgspec
from hypothesis.stateful import RuleBasedStateMachine, initialize, invariant, precondition, rule

from gateway.shadow.command import Command, begin, step
from gateway.shadow.document import Fact, Moment, Rule, Shadow, fact_from, to_plain
from gateway.shadow.events import Ack, Action, Due, Event, Finish, Granted, Report, Send, Superseded, Write, Written
from gateway.shadow.intent import Intent, Outcome, Policy
from gateway.shadow.keys import Keys, digest_of
from gateway.shadow.reconcile import Coherence
from gateway.shadow.restart import restarted
from tests.shadow.plays import MS, WALL_NS

ROUTE = "pump/motor/speed@desired"
TOLERANCE = 10
RULE = Rule(TOLERANCE)
CALLER = "user:pi"


class Stored(NamedTuple):
    """One record of the ledger."""

    seq: int
    kind: str
    body: Any


def policy_of(*, is_idempotent: bool, has_ack: bool) -> Policy:
    attempts = 3 if is_idempotent else 1
    return Policy(
        has_report=True,
        has_ack=has_ack,
        tolerance=TOLERANCE,
        timeout_ns=400 * MS,
        attempts=attempts,
        is_idempotent=is_idempotent,
    )


class Gateway(RuleBasedStateMachine):
    """A commander as thin as can be, a device, and a caller who repeats what it got no answer to."""

    @initialize(is_idempotent=st.booleans(), has_ack=st.booleans())
    def start(self, is_idempotent: bool, has_ack: bool) -> None:
        self.policy = policy_of(is_idempotent=is_idempotent, has_ack=has_ack)
        self.ledger: list[Stored] = []
        self.durable = 0  # records that no crash takes
        self.next_seq = 1
        self.wall_ms = 0
        self.boot = 0
        self.device_value = 1000
        self.device_seq = 0
        self.effects: Counter[str] = Counter()  # by id of the command
        self.announced: dict[str, str] = {}
        self.ids_of_key: dict[str, set[str]] = {}
        self.boot_up(is_clock_trusted=True)

    # --- the gateway

    def boot_up(self, *, is_clock_trusted: bool) -> None:
        """Rebuild everything from the ledger: shadow, keys, and the commands without outcome."""
        self.boot += 1
        self.now_ms = 0
        self.heard_ns: int | None = None
        self.command: Command | None = None
        self.is_granted = False
        self.shadow = self.replayed()
        self.keys = Keys()
        open_ones: dict[str, Intent] = {}
        sendings: Counter[str] = Counter()
        for record in self.ledger:
            if record.kind == "command_intent":
                intent = msgspec.convert(record.body, Intent)
                open_ones[intent.id] = intent
                self.keys.opened(intent, 0, self.wall_ms * MS - (intent.made_wall_ns - WALL_NS))
            elif record.kind == "command_sent":
                sendings[record.body["id"]] += 1
            elif record.kind == "command_result":
                del open_ones[record.body["id"]]
                self.keys.ended(record.body["id"], Outcome(record.body["outcome"]), record.seq)
        clock = "ntp" if is_clock_trusted else "none"
        for intent in open_ones.values():
            if self.command is not None:
                self.happens(Superseded())
            self.command, actions = restarted(
                intent,
                self.policy,
                self.now_ms * MS,
                intent.age_ns(self.now_ms * MS, WALL_NS + self.wall_ms * MS, machine="", clock=clock),
                attempts=sendings[intent.id],
                is_up=True,
            )
            self.obey(actions)

    def replayed(self) -> Shadow:
        shadow = Shadow("pump")
        for record in self.ledger:
            if record.kind == "desired":
                shadow = shadow.desire("speed", fact_from(record.body))
            elif record.kind == "reported":
                shadow = shadow.report("speed", fact_from(record.body["fact"]), TOLERANCE, is_open=record.body["open"])
            elif record.kind == "effective":
                fact = fact_from(record.body)
                shadow = shadow.settle("speed", fact.version, fact)
        return shadow

    def append(self, kind: str, body: Any) -> int:
        self.ledger.append(Stored(self.next_seq, kind, body))
        self.next_seq += 1
        return self.next_seq - 1

    def sync(self) -> None:
        self.durable = len(self.ledger)

    def happens(self, event: Event) -> None:
        if self.command is not None:
            self.command, actions = step(self.command, self.policy, event, self.now_ms * MS)
            self.obey(actions)

    def obey(self, actions: tuple[Action, ...]) -> None:
        for action in actions:
            match action:
                case Send(attempt):
                    self.happens(Granted(attempt))
                case Write(attempt):
                    assert self.command is not None
                    self.effects[self.command.intent.id] += 1
                    self.device_value = self.command.intent.value
                    self.append("command_sent", {"id": self.command.intent.id})
                    self.happens(Written(attempt))
                case Finish():
                    self.end(action)

    def end(self, finish: Finish) -> None:
        assert self.command is not None
        told = self.command.result()
        if finish.effective is not None:
            fact = self.fact(finish.effective)
            self.shadow = self.shadow.settle("speed", self.version, fact)
            self.append("effective", to_plain(msgspec.structs.replace(fact, version=self.version)))
        receipt = self.append("command_result", told)
        self.keys.ended(told["id"], Outcome(told["outcome"]), receipt)
        self.command = None
        if not self.holds_back:
            self.sync()
            self.announced[told["id"]] = told["outcome"]

    holds_back = False  # the next result is not durable before the crash that comes

    @property
    def version(self) -> int:
        return self.shadow.of("speed").version

    def fact(self, value: Any) -> Fact:
        return Fact(value, self.boot, self.device_seq, WALL_NS + self.wall_ms * MS, self.now_ms * MS)

    # --- the caller

    @rule(value=st.sampled_from([1000, 2000, 3000]), key=st.sampled_from("abcd"), is_repeated=st.booleans())
    def somebody_sets(self, value: int, key: str, is_repeated: bool) -> None:
        digest = digest_of({"route": ROUTE, "value": value})
        for _ in range(1 + is_repeated):
            verdict, known = self.keys.look(CALLER, key, digest, self.now_ms * MS)
            if known is not None:
                assert known.id in self.ids_of_key[key]
                assert verdict in {"same", "reused"}
                continue
            self.happens(Superseded())
            seq = self.next_seq
            intent = Intent(
                id=f"c{seq}",
                route=ROUTE,
                value=value,
                principal=CALLER,
                made_wall_ns=WALL_NS + self.wall_ms * MS,
                expires_after_ns=self.policy.expiry_ns,
                key=key,
                digest=digest,
            )
            self.append("command_intent", msgspec.to_builtins(intent))
            fact = Fact(value, self.boot, seq, WALL_NS + self.wall_ms * MS, self.now_ms * MS)
            self.shadow = self.shadow.desire("speed", fact)
            desired = self.shadow.of("speed").desired
            assert desired is not None
            self.append("desired", to_plain(desired))
            self.sync()
            self.ids_of_key.setdefault(key, set()).add(intent.id)
            self.keys.opened(intent, self.now_ms * MS)
            self.command, actions = begin(intent, self.policy, self.now_ms * MS)
            self.obey(actions)

    # --- the device and the world

    @rule(wait_ms=st.sampled_from([1, 100, 400, 2500]))
    def time_passes(self, wait_ms: int) -> None:
        self.now_ms += wait_ms
        self.wall_ms += wait_ms
        self.happens(Due())

    @precondition(lambda self: self.command is not None)
    @rule(accepted=st.sampled_from([True, True, True, False]))
    def the_device_acks(self, accepted: bool) -> None:
        self.happens(Ack(accepted, self.now_ms * MS))

    @rule(value=st.sampled_from([None, None, 1000, 2500]))
    def the_device_reports(self, value: int | None) -> None:
        told = self.device_value if value is None else value
        self.device_seq += 1
        self.heard_ns = self.now_ms * MS
        fact, is_open = self.fact(told), self.command is not None
        self.shadow = self.shadow.report("speed", fact, TOLERANCE, is_open=is_open)
        self.append("reported", {"fact": to_plain(fact), "open": is_open})
        self.happens(Report(told, self.now_ms * MS))

    @rule(
        data=st.data(),
        down_ms=st.sampled_from([0, 50, 3000]),
        is_clock_trusted=st.sampled_from([True, True, False]),
        last=st.sampled_from([None, "time", "report"]),
    )
    def it_crashes(self, data: st.DataObject, down_ms: int, is_clock_trusted: bool, last: str | None) -> None:
        self.holds_back = True
        if last == "time":
            self.time_passes(2500)
        elif last == "report":
            self.the_device_reports(None)
        self.holds_back = False
        kept = data.draw(st.integers(self.durable, len(self.ledger)))
        del self.ledger[kept:]
        self.sync()
        self.next_seq = self.ledger[-1].seq + 1 if self.ledger else 1
        self.wall_ms += down_ms
        self.boot_up(is_clock_trusted=is_clock_trusted)

    # --- what must hold

    def results(self) -> dict[str, str]:
        told = [record.body for record in self.ledger if record.kind == "command_result"]
        assert len({body["id"] for body in told}) == len(told), "a command with two outcomes"
        return {body["id"]: body["outcome"] for body in told}

    @invariant()
    def a_command_has_one_outcome_and_what_was_announced_stands(self) -> None:
        results = self.results()
        assert {command_id: results.get(command_id) for command_id in self.announced} == self.announced

    @invariant()
    def only_the_last_command_is_open(self) -> None:
        intents = [record.body["id"] for record in self.ledger if record.kind == "command_intent"]
        still_open = [self.command.intent.id] if self.command is not None else []
        assert [command_id for command_id in intents if command_id not in self.results()] == still_open
        assert still_open in ([], intents[-1:])

    @invariant()
    def what_is_not_idempotent_happens_once(self) -> None:
        assert self.policy.is_idempotent or max(self.effects.values(), default=0) <= 1

    @invariant()
    def a_key_stands_for_one_command(self) -> None:
        assert all(len(ids) == 1 for ids in self.ids_of_key.values())

    @invariant()
    def the_ledger_tells_the_same_shadow(self) -> None:
        assert self.replayed() == self.shadow

    @invariant()
    def nothing_is_trusted_that_the_device_has_not_said_since_the_start(self) -> None:
        moment = Moment(self.boot, self.now_ms * MS, self.heard_ns)
        word = self.shadow.coherence("speed", RULE, moment, is_open=self.command is not None)
        assert self.heard_ns is not None or word in {Coherence.STALE, Coherence.UNKNOWN}

    @invariant()
    def nothing_moves_without_a_command(self) -> None:
        intents = {record.body["id"] for record in self.ledger if record.kind == "command_intent"}
        assert set(self.effects) <= intents

    def teardown(self) -> None:
        if hasattr(self, "policy"):
            self.time_passes(5000)
            intents = {record.body["id"] for record in self.ledger if record.kind == "command_intent"}
            assert set(self.results()) == intents


TestGateway = Gateway.TestCase
