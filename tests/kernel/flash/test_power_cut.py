"""What is left after the machine's power was cut while `ledger append` and a gateway wrote.

hil/kernel/power.py cuts, writing.py wrote.
"""

from __future__ import annotations

import pytest

from tests.kernel.flash.hands import acked, last_head, told
from tests.kernel.flash.medium import FILE_SYSTEMS, disk, mounted
from tests.kernel.flash.promises import broken

LEAST_ACKED = 50  # of all boots together: fewer prove little


@pytest.fixture(scope="module", params=sorted(FILE_SYSTEMS))
def place(request):
    with mounted(request.param, disk(request.param), request.param) as place:
        yield place


@pytest.fixture(scope="module")
def said():
    return told()


@pytest.mark.parametrize("writer", ["append", "gateway"])
def test_no_boot_after_a_cut_found_anything_wrong(place, said, writer):
    name = f"{place.name}/{writer}"
    checks = [each.facts for each in said if (each.what, each.name) == ("checked", name)]
    assert checks
    assert [each for each in checks if each] == []


def test_every_acknowledged_record_is_there_and_equal_after_all_cuts(place, said):
    pairs = acked(f"{place.name}/append", said)
    assert len(pairs) >= LEAST_ACKED
    assert broken(place / "append", pairs) == []


def test_everything_that_the_gateway_called_durable_is_there_and_equal(place, said):
    head = last_head(f"{place.name}/gateway", said)
    assert head is not None
    assert broken(place / "gateway/ledger", [], head, declares=True) == []
