from __future__ import annotations

from gateway.cli.client import table


def test_a_table_lines_up_its_columns() -> None:
    assert table([("A", "B"), ("long", "x")]) == "A     B\nlong  x"


def test_a_cell_cannot_move_the_cursor_of_a_table() -> None:
    assert table([("A", "B"), ("a\x1b[2J", "x")]) == "A      B\na\N{REPLACEMENT CHARACTER}[2J  x"
