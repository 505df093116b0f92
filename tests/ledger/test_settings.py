"""`[ledger]`: what a user may say, what it means, and what is told where it cannot be."""

from __future__ import annotations

from typing import Any

import pytest

from gateway.ledger.base import DAY_NS, MIB, NS, Options
from gateway.ledger.opening import check_geometry
from gateway.ledger.settings import LedgerConfig


def test_the_defaults_are_those_of_the_ledger_itself_but_for_what_a_gateway_needs() -> None:
    options = LedgerConfig().options()
    plain = Options()
    different = {name for name in Options.__struct_fields__ if getattr(options, name) != getattr(plain, name)}
    assert different == {"sheds", "archives_in_child"}


def test_everything_said_arrives() -> None:
    config = LedgerConfig(
        window="10s", gather="50ms", ring="8MiB", segment="1MiB", unit="16KiB", keep="7d", size="64MiB",
        budget_per_day="1GB",
    )  # fmt: skip
    options = config.options({"a/b/c@frame": DAY_NS})
    assert (options.window_ns, options.gather_ns, options.keep_ns) == (10 * NS, 50_000_000, 7 * DAY_NS)
    assert (options.ring_bytes, options.segment_bytes, options.unit_bytes) == (8 * MIB, MIB, 16_384)
    assert (options.archive_bytes, options.budget_bytes_per_day) == (64 * MIB, 10**9)
    assert options.keep == {"a/b/c@frame": DAY_NS}
    check_geometry(options)


def test_a_window_beyond_the_governor_s_bound_is_what_the_user_wants() -> None:
    assert LedgerConfig(window="5m").options().window_most_ns == 300 * NS


def test_the_small_footprint_stays_under_8_mib() -> None:
    options = LedgerConfig(footprint="small").options()
    check_geometry(options)
    assert options.is_small
    assert options.ring_bytes + options.archive_bytes < 8 * MIB


@pytest.mark.parametrize(
    ("said", "key"),
    [
        ({"window": "0s"}, "window"),
        ({"keep": "0d"}, "keep"),
        ({"ring": "much"}, "ring"),
        ({"segment": "1 MiB"}, "segment"),
        ({"unit": "0"}, "unit"),
        ({"size": "-1"}, "size"),
        ({"budget_per_day": "1 banana"}, "budget_per_day"),
        ({"backend": "sqlite", "ring": "8MiB"}, "ring"),
        ({"backend": "sqlite", "footprint": "small"}, "footprint"),
    ],
)
def test_what_makes_no_sense_is_told_by_its_key(said: dict[str, Any], key: str) -> None:
    assert [problem for problem, _ in LedgerConfig(**said).problems()] == [key]


def test_no_limit_to_writing_is_a_budget_of_nothing() -> None:
    config = LedgerConfig(budget_per_day="0")
    assert list(config.problems()) == []
    assert config.options().budget_bytes_per_day == 0
