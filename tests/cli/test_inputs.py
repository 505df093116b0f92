"""What decode reads: chunks, lines of bounded length, whole inputs."""

import io
import itertools

import pytest
from hypothesis import given
from hypothesis import strategies as st

from gateway.cli.inputs import CHUNK_BYTES, MAX_BODY_BYTES, MAX_LINE_BYTES, chunks, cut, lines, opened, whole_items
from gateway.errors import UsageError
from gateway.frame import MAX_GARBAGE_BYTES, Garbage


@given(st.binary(max_size=300), st.lists(st.integers(0, 300), max_size=6))
def test_where_an_input_is_cut_does_not_matter_to_its_lines(data, places):
    ends = [0, *sorted(places), len(data)]
    pieces = [data[a:b] for a, b in itertools.pairwise(ends)]

    assert list(lines(pieces)) == list(lines([data]))


@given(st.lists(st.binary(max_size=20).filter(lambda line: b"\n" not in line), max_size=8))
def test_lines_come_back_without_their_ends(expected):
    given_text = b"".join(line + b"\n" for line in expected)

    assert list(lines([given_text])) == expected


def test_a_last_line_without_an_end_is_a_line():
    assert list(lines([b"ab\ncd"])) == [b"ab", b"cd"]


@pytest.mark.parametrize("excess", [1, CHUNK_BYTES, MAX_LINE_BYTES])
def test_a_line_too_long_is_garbage_byte_for_byte_and_the_next_line_is_fine(excess):
    long = bytes([0x41]) * (MAX_LINE_BYTES + excess)
    stream = io.BytesIO(long + b"\nok\n")

    *refused, last = lines(chunks(stream, lambda _total: None))

    assert last == b"ok"
    assert b"".join(piece.raw for piece in refused) == long
    assert {piece.reason for piece in refused} == {"line too long"}
    assert max(len(piece.raw) for piece in refused) == MAX_GARBAGE_BYTES


def test_a_reader_hears_how_many_bytes_came_before_every_read():
    told = []

    pieces = list(chunks(io.BytesIO(bytes(CHUNK_BYTES + 1)), told.append))

    assert [len(piece) for piece in pieces] == [CHUNK_BYTES, 1]
    assert told == [0, CHUNK_BYTES, CHUNK_BYTES + 1]


def test_a_file_that_is_not_there_is_named():
    with pytest.raises(UsageError, match=r"nowhere\.log: No such file"), opened("nowhere.log"):
        pass


def test_a_folder_is_no_input(tmp_path):
    with pytest.raises(UsageError, match="directory"), opened(str(tmp_path)) as stream:
        list(chunks(stream, lambda _total: None))


def test_nothing_refused_is_still_one_record():
    assert cut(b"", "remote") == [Garbage(b"", "remote")]


def test_a_whole_input_is_one_body_up_to_a_bound():
    assert [item[3] for item in whole_items([b"ab", b"cd"], None, None)] == [b"abcd"]
    assert list(whole_items([], None, None)) == []
    with pytest.raises(UsageError, match="one body per line"):
        list(whole_items([bytes(MAX_BODY_BYTES), b"x"], None, None))
