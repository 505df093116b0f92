"""Where each key of a TOML document stands, held equal to what tomllib reads."""

from __future__ import annotations

import tomllib

import pytest
from hypothesis import assume, given
from hypothesis import strategies as st

from gateway.profile.positions import Scan, key_text

KEYS = st.sampled_from(["a", "b", "c-d", "E_1", "12", '"x y"', "'q.r'", '"e\\u00e9"', '""', '"#"'])
BLANKS = st.sampled_from(["", " ", "\n", '  # a ] comment "\n', "\n\n\t"])
STRINGS = st.sampled_from(
    [
        '"text # no comment"',
        "'lit\\'",
        '"""two\nlines "" of [text] = 1"""',
        "'''raw\n'' lines'''",
        '"""ends in quotes"""""',
        "'''x'''''",
        '"""\\"""escaped"""',
        '""',
        "''",
        '"\\\\"',
        "true",
        "0x1F",
        "1979-05-27 07:32:00",
        "-inf",
        "3.0e2",
    ]
)


def values(depth: int = 0) -> st.SearchStrategy[str]:
    """Return TOML values; `@` stands for the number of the line it is on."""
    plain = st.one_of(st.just("@"), STRINGS)
    if depth == 3:
        return plain
    inner = st.deferred(lambda: values(depth + 1))
    arrays = st.tuples(st.lists(st.tuples(BLANKS, inner, BLANKS), max_size=3), st.sampled_from(["", ","])).map(_array)
    tables = st.lists(st.tuples(KEYS, inner), max_size=3, unique_by=lambda pair: pair[0]).map(_table)
    return st.one_of(plain, arrays, tables)


def _array(drawn: tuple[list[tuple[str, str, str]], str]) -> str:
    items, last = drawn
    return "[" + ",".join("".join(item) for item in items) + (last if items else "") + "\n]"


def _table(pairs: list[tuple[str, str]]) -> str:
    return "{ " + ", ".join(f"{key} = {value}" for key, value in pairs) + " }"


DOTTED = st.lists(KEYS, min_size=1, max_size=3).map(" . ".join)
STATEMENTS = st.one_of(
    st.tuples(DOTTED, values()).map(lambda pair: f"{pair[0]} = {pair[1]}"),
    DOTTED.map(lambda key: f"[{key}]"),
    DOTTED.map(lambda key: f"[[ {key} ]]"),
    st.sampled_from(["", "# comment [x] = 1", "   \t"]),
)


def with_line_numbers(statements: list[str], end: str) -> str:
    lines = "\n".join(statements).split("\n")
    return end.join(line.replace("@", str(number)) for number, line in enumerate(lines, 1)) + end


def paths_of(value: object, path: tuple[str | int, ...] = ()) -> dict[tuple[str | int, ...], object]:
    answer: dict[tuple[str | int, ...], object] = {path: value}
    if isinstance(value, dict):
        for key, item in value.items():
            answer |= paths_of(item, (*path, key))
    elif isinstance(value, list):
        for index, item in enumerate(value):
            answer |= paths_of(item, (*path, index))
    return answer


def parsed(text: str) -> dict[str, object] | None:
    try:
        return tomllib.loads(text)
    except tomllib.TOMLDecodeError:
        return None


@given(statements=st.lists(STATEMENTS, max_size=12), end=st.sampled_from(["\n", "\r\n"]))
def test_every_key_that_tomllib_reads_has_its_line(statements: list[str], end: str) -> None:
    text = with_line_numbers(statements, end)
    data = parsed(text)
    assume(data is not None)
    scan = Scan(text)
    known = paths_of(data)
    assert set(scan.lines) == set(known)
    assert scan.twice == []
    numbers = {path: value for path, value in known.items() if type(value) is int and value != 0x1F}
    assert {path: scan.lines[path] for path in numbers} == numbers


@given(st.text(alphabet="ab=[]{}.,#'\"\\ \n1", max_size=60))
def test_any_text_at_all_is_scanned_without_an_error(text: str) -> None:
    scan = Scan(text)
    data = parsed(text)
    if data is not None:
        assert set(scan.lines) == set(paths_of(data))


TEXT = """\
title = "x"

[link]
bus = "can"
match = { can_ids = [
  1,
  2, # two
] }

[message.a.when]
can_id = 1
[message.a]
fields = [
  { name = "x",
    type = "u8" },
]
[[twice]]
k = 1
[[twice]]
k = 2
[twice.sub]
n = 1
""".replace('"x",\n    type', '"x", type')


@pytest.mark.parametrize(
    ("path", "line"),
    [
        (("title",), 1),
        (("link",), 3),
        (("link", "match", "can_ids"), 5),
        (("link", "match", "can_ids", 1), 7),
        (("message",), 10),
        (("message", "a"), 12),
        (("message", "a", "when", "can_id"), 11),
        (("message", "a", "fields", 0, "type"), 14),
        (("twice",), 16),
        (("twice", 1), 18),
        (("twice", 1, "k"), 19),
        (("twice", 1, "sub"), 20),
    ],
)
def test_a_key_stands_where_it_is_written(path: tuple[str | int, ...], line: int) -> None:
    assert Scan(TEXT).lines[path] == line


def test_a_missing_key_stands_at_its_tables_header() -> None:
    scan = Scan(TEXT)
    assert scan.line_of(("link", "baud")) == 3
    assert scan.line_of(("message", "a", "ask", "count")) == 12
    assert scan.line_of(("nothing", "here")) == 1


def test_a_key_given_twice_is_told_with_its_second_line() -> None:
    assert Scan("a = 1\nb = 2\na = 3\n").twice == [(("a",), 3)]
    assert Scan("[t]\nx = { 0 = 1, 1 = 2, 0 = 3 }\n").twice == [(("t", "x", "0"), 2)]
    assert Scan("[t]\nx = 1\n[u]\n[t]\n").twice == [(("t",), 4)]


def test_a_path_is_written_with_dots_and_indexes() -> None:
    assert key_text(("message", "df5", "fields", 2, "scale")) == "message.df5.fields[2].scale"
    assert key_text(()) == ""


def test_a_megabyte_is_scanned_in_a_moment() -> None:
    text = "".join(f"[message.m{number}]\nfields = [ {{ name = 'a', type = 'u8' }} ]\n" for number in range(15_000))
    assert Scan(text).lines[("message", "m14999", "fields", 0, "type")] == 30_000
