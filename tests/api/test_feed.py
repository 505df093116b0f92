from __future__ import annotations

import asyncio
import json
from typing import Any

import pytest

from gateway.api.feed import MOST_BYTES, Chunk, Piece, Reader, WatchPattern
from gateway.errors import RouteError


def chunk(number: int, size: int) -> Chunk:
    data = json.dumps({"seq": number, "fill": "x" * size}).encode()
    return Chunk(number, number, [Piece(number, data)], len(data))


def taken(reader: Reader, count: int) -> list[Any]:
    async def take() -> list[Any]:
        found: list[Any] = []
        for _ in range(count):
            found += await reader.take(0.01) or []
        return [json.loads(piece.data) for piece in found]

    return asyncio.run(take())


def test_what_a_reader_is_too_slow_for_is_one_gap_in_its_place() -> None:
    reader = Reader()
    for number in range(1, 31):
        reader.offer(chunk(number, MOST_BYTES // 8))
    told = taken(reader, 20)
    kept = [each["seq"] for each in told if "seq" in each]
    assert kept == list(range(1, len(kept) + 1))
    assert told[-1] == {"gap": {"from": len(kept) + 1, "to": 30, "cause": "slow"}}


def test_after_a_gap_a_reader_goes_on_with_what_comes() -> None:
    reader = Reader()
    for number in range(1, 21):
        reader.offer(chunk(number, MOST_BYTES // 4))
    first = taken(reader, 3)
    for number in range(21, 23):
        reader.offer(chunk(number, 10))
    rest = taken(reader, 10)
    assert [each["seq"] for each in first] == [1, 2, 3]
    assert [each.get("seq", each.get("gap")) for each in rest] == [
        {"from": 4, "to": 20, "cause": "slow"}, 21, 22
    ]  # fmt: skip


def test_one_chunk_beyond_the_limit_still_comes_to_who_has_read_everything() -> None:
    reader = Reader()
    reader.offer(chunk(1, 2 * MOST_BYTES))
    assert [each["seq"] for each in taken(reader, 2)] == [1]


def test_a_closed_reader_is_told_so_at_once() -> None:
    reader = Reader()
    reader.close()
    assert asyncio.run(reader.take(60)) is None


@pytest.mark.parametrize(
    ("pattern", "route", "is_meant"),
    [
        ("*", "pump/motor/speed", True),
        ("pump", "pump/motor/speed", True),
        ("pump/*/sp*", "pump/motor/speed", True),
        ("node", "pump/motor/speed", False),
        ("*", "pump/motor/speed@desired", False),
        ("pump@desired", "pump/motor/speed@desired", True),
        ("pump@desired", "pump/motor/speed", False),
        ("*@*", "pump/motor/speed@effective", True),
        ("*@*", "pump/motor/speed", True),
    ],
)
def test_a_pattern_means_plain_values_unless_it_names_a_variant(pattern: str, route: str, is_meant: bool) -> None:
    assert WatchPattern(pattern).matches(route) is is_meant


@pytest.mark.parametrize("text", ["a/b/c/d", "a//b", "pump@nothing", "pump@"])
def test_a_pattern_that_is_none_is_refused(text: str) -> None:
    with pytest.raises(RouteError):
        WatchPattern(text)
