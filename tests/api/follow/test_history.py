from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest

from gateway.api.follow.decoder import Decoder
from gateway.api.follow.history import History
from gateway.api.follow.values import Item, Missing
from gateway.ledger import Gap, Ledger
from gateway.ledger.base import LedgerLike
from tests.sinks.kit import ROUTE, body, schema


def made(folder: Path, count: int) -> History:
    with Ledger.open(folder) as ledger:
        ledger.append_many([("schema", ROUTE, each, "state") for each in schema().bodies])
        ledger.append_many([("reading", ROUTE, body(number)) for number in range(count)])
    return History(lambda: Ledger.open(folder, read_only=True), Decoder())


def everything(history: History, after: int, at_most: int) -> list[Any]:
    found = []
    while (stretch := history.read(after, at_most)) is not None:
        assert stretch.first == after + 1
        found += stretch.items
        after = stretch.last
    return found


@pytest.mark.parametrize("at_most", [1, 7, 64, 1000])
def test_what_lies_behind_a_cursor_comes_oldest_first_and_once(tmp_path: Path, at_most: int) -> None:
    items = everything(made(tmp_path / "l", 200), 0, at_most)
    assert [item.v for item in items] == [number * 0.5 for number in range(200)]


def test_a_layout_from_before_the_cursor_is_known(tmp_path: Path) -> None:
    items = everything(made(tmp_path / "l", 50), 21, 10)
    assert [item.v for item in items] == [number * 0.5 for number in range(20, 50)]


def test_going_back_gives_the_same_again(tmp_path: Path) -> None:
    history = made(tmp_path / "l", 50)
    assert everything(history, 21, 10) == everything(history, 21, 7)


def test_at_the_end_nothing_is_given_until_more_is_there(tmp_path: Path) -> None:
    history = made(tmp_path / "l", 5)
    assert len(everything(history, 0, 100)) == 5
    with Ledger.open(tmp_path / "l") as ledger:
        seq = ledger.append("reading", ROUTE, body(77))
    assert [item.v for item in everything(history, seq - 1, 100)] == [38.5]


def test_what_retention_took_comes_as_a_gap(tmp_path: Path) -> None:
    made(tmp_path / "l", 40)

    class Thinned:
        """A ledger whose oldest records are gone."""

        def __init__(self, ledger: LedgerLike) -> None:
            self._ledger = ledger

        def read(self, from_seq: int, *, durable_only: bool) -> Any:
            if from_seq <= 20:
                yield Gap(from_seq, 20, "retention")
            yield from self._ledger.read(max(from_seq, 21), durable_only=durable_only)

        def __getattr__(self, name: str) -> Any:
            return getattr(self._ledger, name)

    history = History(lambda: Thinned(Ledger.open(tmp_path / "l", read_only=True)), Decoder())  # type: ignore[arg-type,return-value]
    stretch = history.read(3, 10)
    assert stretch is not None
    gap, first = stretch.items[0], stretch.items[1]
    assert isinstance(gap, Missing)
    assert (gap.gap.from_, gap.gap.to, gap.gap.cause) == (4, 20, "retention")
    assert isinstance(first, Item)
    assert first.seq == 21
