"""Rules files to tokens: whatever the bytes, reading goes on and every mistake has its line."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from gateway.udev.check import MAX_PROBLEMS, check_rules
from gateway.udev.grammar import MAX_FILE_BYTES, MAX_LINE_BYTES, read_rules

GOOD = b'SUBSYSTEM=="tty", ATTRS{serial}=="A1", SYMLINK+="tidegate/a"\n'


def told(data: bytes) -> list[tuple[int, str]]:
    return [(problem.line, problem.message) for problem in read_rules("x.rules", data).problems]


def test_a_rule_is_read_as_keys_braces_operators_and_values():
    (rule,) = read_rules("x.rules", GOOD).rules
    assert [(token.key, token.attribute, token.operator, token.value) for token in rule.tokens] == [
        ("SUBSYSTEM", None, "==", "tty"),
        ("ATTRS", "serial", "==", "A1"),
        ("SYMLINK", None, "+=", "tidegate/a"),
    ]


def test_comments_and_empty_lines_are_no_rules():
    assert read_rules("x.rules", b"\n  # a\n\n#b").rules == []
    assert told(b"\n  # a\n\n#b") == []


def test_a_continued_rule_keeps_the_line_of_every_key_and_skips_comments_inside():
    (rule,) = read_rules("x.rules", b'# x\nKERNEL=="a", \\\n  # why\n  MODE="0660", \\\n  GROUP="g"\n').rules
    assert rule.line == 2
    assert [token.line for token in rule.tokens] == [2, 4, 5]


def test_a_backslash_hides_the_quote_behind_it():
    (rule,) = read_rules("x.rules", rb'PROGRAM=="/bin/sh -c \"x\"", RUN+="y"').rules
    assert [token.value for token in rule.tokens] == ['/bin/sh -c "x"', "y"]


def test_a_value_with_escapes_is_taken_and_a_wrong_escape_told():
    assert told(rb'KERNEL==e"a\n\x41"') == []
    ((line, message),) = told(rb'KERNEL==e"a\q"')
    assert (line, "is no escape" in message) == (1, True)


@pytest.mark.parametrize(
    ("text", "message"),
    [
        (b'KERNEL=="a" MODE="0660"', "a comma is missing"),
        (b'KERNEL=="a",, MODE="0660"', "two commas"),
        (b', KERNEL=="a"', "a comma before the first key"),
        (b'KERNEL=="a", MODE="0660",', "a comma behind the last key"),
        (b'KERNEL=="a', "the quote is never closed"),
        (b'ATTR{x=="a"', "the brace is never closed"),
        (b"KERNEL==a", "KERNEL==\"value\"; found 'a'"),
        (b"KERNEL==", "found nothing"),
        (b'KERNEL "a"', "no operator behind the key"),
        (b'KERNEL=>"a"', "a value stands in double quotes"),
        (b'%%% MODE="0660"', "expected a key here"),
        (b'KERNEL==q"a"', "is no kind of value"),
        (b'KERNEL=="caf\xe9"', "is not UTF-8"),
        (b'KERNEL=="\0"', "a NUL byte"),
        (b'KERNEL=="a"\\', "ends in a continued line"),
        (b'KERNEL=="a"\r\nMODE="0660"\r\n', "a line end of Windows"),
        (b'KERNEL=="' + b"a" * MAX_LINE_BYTES + b'"', "bytes; udev ignores"),
        (b"#" * (MAX_FILE_BYTES + 1), "that is no rules file"),
    ],
)
def test_each_mistake_of_writing_is_told_at_its_line(text: bytes, message: str):
    assert any(line == 1 and message in each for line, each in told(text))


@pytest.mark.parametrize("broken", [b"KERNEL==a", b"%%%", b'ATTR "x"', b'KERNEL=="a'])
def test_the_rule_behind_a_broken_one_is_read(broken: bytes):
    assert [token.key for rule in read_rules("x.rules", broken + b"\n" + GOOD).rules for token in rule.tokens][-3:] == [
        "SUBSYSTEM",
        "ATTRS",
        "SYMLINK",
    ]


def test_the_key_behind_a_broken_one_in_the_same_rule_is_read():
    (rule,) = read_rules("x.rules", b'KERNEL==a, MODE="0660"').rules
    assert [token.key for token in rule.tokens] == ["MODE"]


PIECES = st.sampled_from(
    [
        b"KERNEL",
        b"ATTRS",
        b"{",
        b"}",
        b"==",
        b"+=",
        b'"',
        b"\\",
        b"\n",
        b",",
        b" ",
        b"a",
        b"%",
        b"$",
        b"e",
        b"\0",
        b"\xff",
    ]
)


@given(st.one_of(st.binary(max_size=300), st.lists(PIECES, max_size=60).map(b"".join)))
def test_no_bytes_at_all_make_a_check_raise(data: bytes):
    checked = check_rules("x.rules", data, groups=(), users=())
    lines = data.count(b"\n") + 1
    assert all(1 <= problem.line <= lines for problem in checked.problems)


@given(st.lists(st.sampled_from([GOOD, b'MODE=="1"\n', b"%%%\n", b"# x\n"]), max_size=8))
def test_a_file_that_is_cut_into_lines_has_the_mistakes_of_its_lines(lines: list[bytes]):
    apart = [(number, message) for number, line in enumerate(lines, 1) for _, message in told(line)]
    assert told(b"".join(lines)) == apart


def test_garbage_is_told_up_to_a_limit():
    problems = check_rules("x.rules", b"%\n" * 5000).problems
    assert len(problems) == MAX_PROBLEMS + 1
    assert "4,500 more" in problems[-1].message
