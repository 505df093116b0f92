from __future__ import annotations

from hypothesis import given
from hypothesis import strategies as st

from gateway.cli.top.keys import View, pressed, typed

ROWS = [None, "a", "a", None, "b"]


def after(*keys: str, view: View | None = None) -> View:
    found = view or View()
    for key in keys:
        found = pressed(found, key, ROWS, 3)
    return found


def test_what_terminals_send_is_read_as_keys_and_letters() -> None:
    sent = b"\x1b[Aq\x1bOB\x1b[5~\x1b[6~\x1b[H\x1b[F/\xc3\xa9\x1b[1;5Cx"
    assert list(typed(sent)) == ["up", "q", "down", "page up", "page down", "home", "end", "/", "é", "x"]


@given(data=st.binary(max_size=60))
def test_anything_that_is_sent_can_be_read_and_pressed(data: bytes) -> None:
    assert after(*typed(data)).cursor in range(len(ROWS))


def test_keys_scroll_end_and_pause() -> None:
    assert after("down", "down", "up").cursor == 1
    assert (after("page down").cursor, after("end").cursor, after("end", "home").cursor) == (2, 4, 0)
    assert after("q").has_ended
    assert after("p").is_paused
    assert not after("p", "p").is_paused


def test_a_filter_is_written_letter_by_letter_and_taken_or_left() -> None:
    assert after("/", *"pq/*", "\r").filter == "pq/*"
    assert after("/", *"pump", "\x7f", "\r").filter == "pum"
    assert after("/", *"pump", "\x15", "x", "\r").filter == "x"
    left = after("/", *"pump", "\x1b")
    assert (left.filter, left.typing, left.has_ended) == ("", None, False)
    assert after("/", *"jk g", "\r").filter == "jk g"
    assert after("/", *"pump", "\r", "\x1b").filter == ""


def test_d_looks_at_the_device_of_the_row_or_of_the_next_that_has_one() -> None:
    assert after("d").device == "a"
    assert after("end", "d").device == "b"
    assert after("down", "down", "down", "d").device == "b"
    assert after("d", "d").device is None
    assert pressed(View(), "d", [None], 3).device is None
