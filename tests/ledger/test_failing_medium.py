"""`tidegate ledger append` as a process of its own, on a medium that fails below it: what it says, and what is left."""

from __future__ import annotations

import errno
import shutil
from typing import NamedTuple

import pytest

from gateway.ledger import Ledger
from gateway.ledger.base import Options
from tests.ledger.failing import FOR_EVER, Append, FailingMedium, Left, built, left

OPTIONS = Options(ring_bytes=1 << 20, segment_bytes=128 << 10)
BEFORE = ["one", "two", "three"]  # durable before anything fails
AFTER = list(range(5))
SOUND = {"intact", "declared"}
ONCE = {"one sync fails": {"syncs_fail": 1}, "one write fails": {"writes_fail": 1}}
FOR_GOOD = {
    "the next sync fails too": {"syncs_fail": 2},
    "every sync fails": {"syncs_fail": FOR_EVER},
    "the second write fails too": {"writes_fail": 2},
    "every write fails for want of room": {"writes_fail": FOR_EVER, "error": errno.ENOSPC},
    "every write fails for a quota": {"writes_fail": FOR_EVER, "error": errno.EDQUOT},
}

pytestmark = pytest.mark.skipif(shutil.which("gcc") is None, reason="needs gcc: sudo apt install gcc libc6-dev")


@pytest.fixture(scope="module")
def shim(tmp_path_factory):
    return built(tmp_path_factory.mktemp("shim"))


@pytest.fixture(scope="module", params=["keeps", "loses"])
def begun(request, shim, tmp_path_factory):
    """Begin an `append` on a medium of which a failed sync keeps or loses what was written."""
    running = []

    def begin():
        folder = tmp_path_factory.mktemp("failing")
        Ledger.create(folder / "ledger", OPTIONS)
        medium = FailingMedium(shim, folder / "orders")
        medium.orders.loses = request.param == "loses"
        append = Append(folder / "ledger", medium.environment)
        running.append(append)
        append.say(*BEFORE)
        return folder / "ledger", medium.orders, append

    yield begin
    for append in running:
        append.kill()


class Story(NamedTuple):
    """What one process met, said and left."""

    append: Append
    code: int
    complaint: str
    left: Left
    again: Append  # on the same ledger, on a medium that works
    left_again: Left


@pytest.fixture(scope="module")
def told(begun):
    def tell(faults):
        folder, orders, append = begun()
        for name, value in faults.items():
            setattr(orders, name, value)
        append.say(*AFTER)
        assert orders.failed == min(2, faults.get("syncs_fail", 0) + faults.get("writes_fail", 0))
        code, complaint = append.end()
        remains = left(folder, append)
        again = Append(folder)
        again.say("again")
        assert again.end() == (0, "")
        return Story(append, code, complaint, remains, again, left(folder, append, again))

    return tell


@pytest.fixture(scope="module", params=ONCE)
def once(request, told):
    return told(ONCE[request.param])


@pytest.fixture(scope="module", params=FOR_GOOD)
def for_good(request, told):
    return told(FOR_GOOD[request.param])


def test_after_one_failure_every_record_is_still_acknowledged(once):
    assert list(once.append.acked.values()) == BEFORE + AFTER
    assert (once.code, once.complaint, once.append.refused) == (0, "", [])


def test_what_was_acknowledged_after_one_failure_is_there(once):
    assert once.left.lost == {}
    assert once.left.verdict in SOUND


def test_after_one_failure_the_next_process_goes_on(once):
    assert list(once.again.acked.values()) == ["again"]
    assert once.left_again.lost == {}
    assert once.left_again.verdict in SOUND


def test_after_two_failures_nothing_more_is_acknowledged(for_good):
    assert list(for_good.append.acked.values()) == BEFORE
    assert [each["line"] for each in for_good.append.refused] == [4, 5, 6, 7, 8]


def test_after_two_failures_the_process_says_why_and_exits_1(for_good):
    assert for_good.code == 1
    assert "the medium failed" in for_good.complaint
    assert "Traceback" not in for_good.complaint


def test_what_was_acknowledged_before_two_failures_is_there(for_good):
    assert for_good.left.lost == {}
    assert for_good.left.verdict in SOUND


def test_after_two_failures_the_ledger_goes_on_once_the_medium_works_again(for_good):
    assert list(for_good.again.acked.values()) == ["again"]
    assert for_good.left_again.lost == {}
    assert for_good.left_again.verdict in SOUND


def test_a_process_that_is_killed_after_one_failed_sync_leaves_what_it_acknowledged(begun):
    folder, orders, append = begun()
    orders.syncs_fail = 1
    append.say(*AFTER)
    append.kill()
    assert len(append.acked) == len(BEFORE + AFTER)
    assert left(folder, append).lost == {}
    assert left(folder, append).verdict in SOUND


def test_a_second_failed_sync_long_after_the_first_is_not_forgiven(begun):
    folder, orders, append = begun()
    orders.syncs_fail = 1
    append.say(*AFTER)
    orders.syncs_fail = 1
    append.say(*AFTER)
    assert len(append.acked) == len(BEFORE + AFTER)
    assert append.end()[0] == 1
    assert left(folder, append).lost == {}


def test_a_medium_that_takes_writes_in_pieces_costs_nothing(begun):
    folder, orders, append = begun()
    orders.at_most = 1000
    append.say(*AFTER)
    assert append.end() == (0, "")
    assert left(folder, append) == ("intact", {})
