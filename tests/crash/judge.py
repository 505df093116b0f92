"""One state: recover, ask everything, go on, cut again, recover again."""

from __future__ import annotations

from typing import Final, NamedTuple

from gateway.errors import GatewayError, LedgerFormatError
from gateway.ledger.base import Options
from gateway.ledger.record import encode_body
from gateway.testing import FakeClock, MemoryStorage
from gateway.testing.storage import Image
from tests.crash.oracle import Answer, Issue, Promise, after_recovery
from tests.crash.subjects import Subject, look_at, open_subject, state_of

ALWAYS_WRITTEN: Final = "META"  # that the ledger was opened
MOST_READS_OF_ALL: Final = 12  # how often opening and reading may read what lies there
READ_SLACK_BYTES: Final = 65_536
NEXT: Final = (
    ("note", None, {"after": "one"}, "state", None),
    ("reading", "pump/motor/speed@frame", b"\x00after", "telemetry", None),
    ("command_intent", "pump/motor/speed@desired", {"after": "two"}, "command", None),
)


class Verdict(NamedTuple):
    """What one state came to."""

    problems: list[str]
    story: list[str]  # what happened, for who reproduces it


class Judge:
    """Puts states of one history to the test."""

    def __init__(self, subject: str, options: Options, clock: FakeClock) -> None:
        self._subject = subject
        self._options = options
        self._gone_on: set[int] = set()  # recovered media that were seen to recover again and to go on well
        self._wall_ns = clock.wall_ns() + 3_000_000_000

    def open(self, storage: MemoryStorage) -> Subject:
        """Open what a cut left, as a machine does that has just started."""
        return open_subject(self._subject, storage, FakeClock(wall_ns=self._wall_ns), self._options)

    def judge(self, image: Image, promise: Promise) -> Verdict:
        """Return what is wrong with the way a log comes back from an image."""
        verdict = Verdict([], [])
        try:
            self._judge(image, promise, verdict)
        except GatewayError as error:
            verdict.problems.append(f"I7 {type(error).__name__}: {error}")
        except Exception as error:  # noqa: BLE001 - whatever comes out is the finding
            verdict.problems.append(f"I7 {type(error).__name__} came out: {error}")
        return verdict

    def _judge(self, image: Image, promise: Promise, verdict: Verdict) -> None:
        try:
            self._look(image, promise, verdict)
        except LedgerFormatError as error:
            if promise.is_honest:
                raise
            verdict.story.append(f"before recovery: {error}")  # the medium lost all of it: told, with a typed error
        storage = MemoryStorage(image)
        log = self.open(storage)
        recovered = storage.cut()
        size = sum(map(len, image.values()))
        if storage.bytes_read > MOST_READS_OF_ALL * size + READ_SLACK_BYTES:
            verdict.problems.append(f"I7 opening read {storage.bytes_read:,} bytes of {size:,}")
        answer = self._ask(log, promise, verdict, "recovered", verifies=not promise.is_honest)
        if verdict.problems:
            return
        state = hash((tuple(sorted(recovered.items())), promise.durable, promise.is_honest, promise.hurt, answer.last))
        if state in self._gone_on:
            verdict.story.append("the recovered medium is the same as that of an earlier state")
            return
        again = after_recovery(promise, answer, log.durable_seq)
        self._check_idempotent(recovered, storage, verdict)
        self._check_next_life(log, storage, again, verdict)
        if not verdict.problems:
            self._gone_on.add(state)

    def _look(self, image: Image, promise: Promise, verdict: Verdict) -> None:
        """Read and verify before anything is recovered, as on a copy: it changes nothing, and tells no less."""
        storage = MemoryStorage(image)
        log = look_at(self._subject, storage)
        if log is None:
            return
        answer = Answer(log.read(), promise)
        found = log.verify(deep=True)
        answer.check_look(found)
        if storage.operations:
            answer.problems.append(f"I5 looking changed something: {storage.operations[0]}")
        verdict.problems.extend(f"before recovery: {problem}" for problem in answer.conclude())
        verdict.story.append(f"before recovery: {found.verdict}, {len(answer.records)} records up to {answer.last}")

    def _ask(self, log: Subject, promise: Promise, verdict: Verdict, when: str, *, verifies: bool = False) -> Answer:
        answer = Answer(log.read(), promise)
        if verifies:
            answer.check_verification(log.verify(deep=True))
        if promise.cursors:
            found = log.replay().cursors  # type: ignore[attr-defined]
            told = {name: found.get(name, 0) for name in promise.cursors}
            answer.check_cursors(told, log.durable_seq)
        verdict.problems.extend(f"{when}: {problem}" for problem in answer.conclude())
        gaps = ", ".join(f"{gap.seq}-{gap.to_seq} ({gap.reason})" for gap in answer.gaps)
        verdict.story.append(
            f"{when}: {len(answer.records)} records up to {answer.last}, durable {log.durable_seq}"
            + (f"; missing {gaps}" if gaps else "")
        )
        return answer

    def _check_idempotent(self, image: Image, first: MemoryStorage, verdict: Verdict) -> None:
        """Recover what recovery left: but for META nothing is written, and nothing removed that was not before."""
        again = MemoryStorage(image)
        self.open(again)
        names = dict(again.named())
        removed = {each.name for each in first.operations if each.kind == "remove"}
        wrote = {
            names.get(each.node, each.name)
            for each in again.operations
            if each.kind in {"write", "create", "rename", "make_folder"}
            or (each.kind == "remove" and each.name not in removed)
        }
        if new := sorted(name for name in wrote if not name.startswith(ALWAYS_WRITTEN)):
            verdict.problems.append(f"I5 a second recovery wrote {', '.join(new)}")

    def _check_next_life(self, log: Subject, storage: MemoryStorage, promise: Promise, verdict: Verdict) -> None:
        """Append, cut, recover: everything that was read must read again, and what was appended with it."""
        seqs = log.append_many(list(NEXT))  # one small commit, so that what was torn behind it still lies there
        log.flush()
        issued: dict[int, Issue] = {
            seq: (kind, route, class_, cause, encode_body(body)[0])
            for seq, (kind, route, body, class_, cause) in zip(seqs, NEXT, strict=True)
        }
        after = promise._replace(durable=log.durable_seq, last=log.durable_seq, issued=issued)
        end = MemoryStorage(storage.cut())
        last = self.open(end)
        answer = self._ask(last, after, verdict, "after the next cut")
        state = state_of(last)
        if (
            state is not None
            and promise.is_foldable
            and not promise.is_scarred
            and state != (expected := answer.folded())
        ):
            differing = [name for name in expected.__struct_fields__ if getattr(state, name) != getattr(expected, name)]
            verdict.problems.append(f"I7 replay differs from the fold of all records: {', '.join(differing)}")
        last.close()
        answer.check_verification((look_at(self._subject, end) or last).verify(deep=True))
        verdict.problems.extend(f"closed: {problem}" for problem in answer.problems)
