"""`tidegate ledger append`: what is answered to which line, and that only what is durable is acknowledged."""

import errno
import json

from gateway.cli.ledger_append import Committer
from gateway.errors import LedgerReadOnlyError, LedgerStorageError, RecordError
from gateway.ledger.base import Item, Options
from gateway.ledger.ldg1 import Ldg1Ledger
from gateway.ledger.opening import create
from gateway.testing import FakeClock, Fault, FaultyStorage, MemoryStorage


class Medium:
    """A ledger as far as `append` sees it, whose medium fails when it is told to."""

    def __init__(self, *failing: int) -> None:
        self.durable_seq = 0
        self.kept: list[Item] = []
        self.flushes = 0
        self.failing = failing  # these flushes, from 1
        self.loses = 0  # of a failing flush, how many records at the end are not durable
        self.is_read_only = False

    def append_many(self, records: list[Item]) -> range:
        if self.is_read_only:
            raise LedgerReadOnlyError("the medium failed")
        if any(item[4] == 99 for item in records):
            raise RecordError("cause 99 is of no record")
        self.kept += records
        return range(len(self.kept) - len(records) + 1, len(self.kept) + 1)

    def flush(self, seq: int) -> None:
        self.flushes += 1
        if self.flushes in self.failing:
            self.durable_seq = seq - self.loses
            raise LedgerStorageError(errno.EIO, "the medium failed")
        self.durable_seq = seq


def line(body: object = 1, **more: object) -> bytes:
    return json.dumps({"kind": "note", "route": None, "class": "telemetry", "body": body, **more}).encode()


def answers(committer: Committer, *lines: bytes | None) -> list[dict]:
    return [json.loads(each) for each in committer.commit(lines).splitlines()]


def test_every_line_that_arrived_together_is_one_commit():
    medium = Medium()
    assert answers(Committer(medium), *[line()] * 5) == [{"seq": seq, "durable": True} for seq in range(1, 6)]
    assert medium.flushes == 1


def test_refused_lines_are_answered_in_their_place():
    told = answers(Committer(Medium()), b"", line(), None, line(), b"{}")
    assert [each.get("line", each.get("seq")) for each in told] == [1, 1, 3, 2, 5]


def test_lines_are_counted_over_all_commits():
    committer = Committer(Medium())
    answers(committer, line(), b"")
    assert answers(committer, line(), b"x")[1]["line"] == 4


def test_a_refusal_names_its_type_and_reason():
    (told,) = answers(Committer(Medium()), line(kind="x"))
    assert (told["line"], told["error"]["type"], "no kind 'x'" in told["error"]["message"]) == (1, "RecordError", True)


def test_a_commit_of_refused_lines_only_touches_no_medium():
    medium = Medium()
    answers(Committer(medium), b"", b"")
    assert medium.flushes == 0


def test_what_only_the_ledger_can_refuse_takes_no_other_line_with_it():
    told = answers(Committer(Medium()), line(), line(cause=99), line())
    assert [("seq" in each) for each in told] == [True, False, True]
    assert told[1]["line"] == 2


def test_nothing_is_acknowledged_that_a_failed_flush_lost():
    medium = Medium(1)
    medium.loses = 2
    committer = Committer(medium)
    told = answers(committer, line(), line(), line())
    assert [each.get("durable", each.get("line")) for each in told] == [True, 2, 3]
    assert (committer.refused, committer.failure) == (2, "the medium failed")


def test_after_a_failure_that_the_ledger_survived_it_goes_on():
    medium = Medium(1)
    medium.loses = 1
    committer = Committer(medium)
    answers(committer, line())
    assert answers(committer, line()) == [{"seq": 2, "durable": True}]


def test_every_line_to_a_dead_medium_gets_its_own_error():
    medium = Medium()
    medium.is_read_only = True
    told = answers(Committer(medium), line(), line())
    assert [(each["line"], each["error"]["type"]) for each in told] == [(n, "LedgerReadOnlyError") for n in (1, 2)]


def test_the_body_reaches_the_ledger_letter_for_letter():
    medium = Medium()
    body = b'{"b": 1.0, "a":[1e2,\t"\\u00e9"]}'
    Committer(medium).commit([b'{"kind":"note","route":null,"class":"state","cause":7,"body":%s}' % body])
    ((kind, route, raw, class_, cause),) = medium.kept
    assert (kind, route, bytes(raw), class_, cause) == ("note", None, body, "state", 7)


OPTIONS = Options(ring_bytes=1 << 20, segment_bytes=1 << 18)


def on_a_medium_that_fails(*faults: Fault) -> Ldg1Ledger:
    storage = MemoryStorage()
    create(storage, OPTIONS, whole=True)
    healthy = Ldg1Ledger(storage, OPTIONS, FakeClock(), background=False)
    healthy.close()
    ledger = Ldg1Ledger(faulty := FaultyStorage(storage), OPTIONS, FakeClock(), background=False)
    faulty._faults, faulty._seen = list(faults), [0] * len(faults)  # from here on
    return ledger


def test_after_one_failed_sync_the_spare_segment_takes_over():
    ledger = on_a_medium_that_fails(Fault(frozenset({"sync"}), at=2))
    committer = Committer(ledger)
    told = [each for number in range(4) for each in answers(committer, line(number))]
    assert (told, committer.refused) == ([{"seq": seq, "durable": True} for seq in (1, 2, 3, 4)], 0)


def test_after_the_second_failed_sync_nothing_is_acknowledged_any_more():
    ledger = on_a_medium_that_fails(Fault(frozenset({"sync"}), at=2, lasts=True))
    committer = Committer(ledger)
    told = [each for number in range(4) for each in answers(committer, line(number))]
    assert [each.get("seq", each.get("line")) for each in told] == [1, 2, 3, 4]
    assert [each.get("durable", False) for each in told] == [True, False, False, False]
    assert "the medium failed" in committer.failure
