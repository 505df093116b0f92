from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from gateway.api.paging import limit_of, page, page_as_it_is
from gateway.errors import UsageError


def name_of(row: dict[str, str]) -> str:
    return row["name"]


@given(names=st.sets(st.text(max_size=4), max_size=20), limit=st.integers(1, 8))
def test_pages_give_every_row_once(names: set[str], limit: int) -> None:
    rows = [{"name": name} for name in names]
    seen: list[str] = []
    after: str | None = None
    while True:
        given_rows, after = page(rows, name_of, after, limit)
        seen += map(name_of, given_rows)
        if after is None:
            break
    assert seen == sorted(names)


def test_a_row_that_goes_between_two_pages_moves_no_other() -> None:
    first, after = page([{"name": name} for name in "abcd"], name_of, None, 2)
    second, end = page([{"name": name} for name in "acd"], name_of, after, 2)
    assert ([*map(name_of, first)], [*map(name_of, second)], end) == (["a", "b"], ["c", "d"], None)


def test_an_order_that_means_something_is_kept() -> None:
    rows = [{"name": name} for name in "cab"]
    first, after = page_as_it_is(rows, name_of, None, 2, what="row")
    assert ([*map(name_of, first)], after) == (["c", "a"], "a")
    assert page_as_it_is(rows, name_of, after, 2, what="row") == ([{"name": "b"}], None)


def test_a_cursor_whose_row_is_gone_is_told() -> None:
    with pytest.raises(UsageError, match="begin again"):
        page_as_it_is([{"name": "a"}], name_of, "z", 1, what="row")


@pytest.mark.parametrize("text", ["0", "-1", "1001", "many", "", "1e3", "٣", "1" * 400])
def test_a_limit_is_a_number_within_bounds(text: str) -> None:
    with pytest.raises(UsageError):
        limit_of(text)
    assert (limit_of(None), limit_of("7")) == (1000, 7)
