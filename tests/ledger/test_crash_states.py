"""What a power cut, a lying medium or a failing one may leave: 100,000 states a run, and none of them breaks a promise.

`make crash` does the same by the million; `make crash STATE=ID` makes one of them again and tells what happened.
"""

from __future__ import annotations

import pytest

from tests.crash.campaign import SHARES, enumerate_fault, violations_in

STATES = 100_000
CHUNKS = 5  # of each fault class, with seeds of their own: so that several processes share the work
SEED = 1


@pytest.mark.timeout(1200)
@pytest.mark.parametrize("chunk", range(CHUNKS))
@pytest.mark.parametrize("fault", SHARES)
def test_no_state_breaks_a_promise(fault: str, chunk: int) -> None:
    wanted = -(-round(STATES * SHARES[fault]) // CHUNKS)
    states, violations = violations_in(enumerate_fault("ledger", fault, wanted, SEED + 1000 * chunk))
    assert violations == []
    assert states >= wanted
