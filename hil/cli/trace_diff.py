"""`tidegate trace diff`: where two traces part."""

from __future__ import annotations

import json
import sys
from pathlib import Path
from typing import Any

import click

from hil.cli.trace_files import EXIT_NO, file_type, say, told
from hil.trace.convert import Outcome, as_trace
from hil.trace.diff import Difference, chosen, difference, differing_keys
from hil.trace.reader import TraceStream
from hil.trace.record import Record
from hil.trace.show import text_of


@click.command(name="diff", short_help="Show where two traces part.")
@click.argument("a", type=file_type)
@click.argument("b", type=file_type)
@click.option("--bus", "buses", multiple=True, metavar="NAME", help="Of this bus alone; may be given again.")
@click.option("--ignore", multiple=True, metavar="KEY", help="A key that may differ, such as t_ns; may be given again.")
@click.option("--json", "as_json", is_flag=True, help="One JSON object: equal, record, a, b, context.")
def command(*, a: Path, b: Path, buses: tuple[str, ...], ignore: tuple[str, ...], as_json: bool) -> None:
    """Compare the records of A and B, which are traces or other programs' logs; what their headers say does not matter.

    \b
    For example:
      tidegate trace diff yesterday.trace today.trace
      tidegate trace diff bench.trace simulated.trace --bus uart0 --ignore t_ns

    Exit codes: 0 equal, 1 they differ (or one is damaged), 2 one is no trace.
    """  # noqa: D301 - \b keeps click from filling the table
    outcomes = [Outcome(), Outcome()]
    with told(), as_trace(a, outcomes[0]) as ours, as_trace(b, outcomes[1]) as theirs:
        found = difference(chosen(ours, buses, ()), chosen(theirs, buses, ()), ignore)
        _tell_torn(a, ours)
        _tell_torn(b, theirs)
    for outcome in outcomes:
        for line in outcome.told:
            say(line)
    click.echo(json.dumps(_document(found)) if as_json else _text(a, b, found))
    sys.exit(EXIT_NO if found is not None or any(outcome.has_damage for outcome in outcomes) else 0)


def _tell_torn(path: Path, stream: TraceStream) -> None:
    if stream.torn_line is not None:
        say(f"{path}:{stream.torn_line}: torn off; the rest is used")


def _document(found: Difference | None) -> dict[str, Any]:
    if found is None:
        return {"equal": True, "record": None, "a": None, "b": None, "context": []}
    return {
        "equal": False,
        "record": found.record,
        "a": _table(found.a),
        "b": _table(found.b),
        "context": [_table(record) for record in found.context],
    }


def _table(record: Record | None) -> dict[str, Any] | None:
    return None if record is None else dict(record.items())


def _text(a: Path, b: Path, found: Difference | None) -> str:
    if found is None:
        return "equal"
    lines = [f"    {text_of(record)}" for record in found.context]
    lines += [f"{mark} {found.record} {_side(record)}" for mark, record in (("A", found.a), ("B", found.b))]
    keys = differing_keys(found.a, found.b) if found.a is not None and found.b is not None else []
    what = f" in {', '.join(keys)}" if keys else ""
    return "\n".join([f"A {a}\nB {b}\nrecord {found.record} differs{what}:", *lines])


def _side(record: Record | None) -> str:
    return "(it has ended)" if record is None else text_of(record)
