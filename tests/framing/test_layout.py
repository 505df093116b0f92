from __future__ import annotations

import pytest

from gateway.errors import UsageError
from gateway.framing.layout import CheckPlace, body_slice, default_body, shortest_frame, unsigned_type
from gateway.framing.spec import LengthField


@pytest.mark.parametrize(
    ("text", "size", "order"), [("u8", 1, "big"), ("u16be", 2, "big"), ("u24le", 3, "little"), ("u64be", 8, "big")]
)
def test_unsigned_types_have_size_and_order(text: str, size: int, order: str):
    assert unsigned_type(text) == (size, order)


@pytest.mark.parametrize("text", ["u16", "s8", "u9", "f32be", "", "u16xx"])
def test_other_types_are_refused(text: str):
    with pytest.raises(UsageError, match="unsigned integer type"):
        unsigned_type(text)


@pytest.mark.parametrize(
    ("text", "part"), [("4:-2", (4, -2)), (" 2 : ", (2, None)), (":-1", (0, -1)), (":", (0, None))]
)
def test_slices_are_read_as_python_writes_them(text: str, part: tuple):
    assert body_slice(text) == part


@pytest.mark.parametrize("text", ["4", "a:b", "1:2:3", "", "--1:"])
def test_what_is_no_slice_is_refused(text: str):
    with pytest.raises(UsageError, match="no slice"):
        body_slice(text)


def test_the_default_body_is_after_start_and_before_the_check():
    assert default_body(b"ab", None) == (2, None)
    assert default_body(b"ab", CheckPlace(2, None, 0, "big")) == (2, -2)
    assert default_body(b"ab", CheckPlace(1, -2, 0, "big")) == (2, -2)


def test_the_shortest_frame_has_room_for_everything():
    check = CheckPlace(2, None, 0, "big")
    assert shortest_frame(b"BM", LengthField(at=2, type="u16be"), check, (4, -2)) == 6
    assert shortest_frame(b"", None, None, (0, None)) == 1
