"""`tidegate hil compare`: one recorded run against another."""

from __future__ import annotations

import json
import sys
from pathlib import Path

import click

from gateway.errors import UsageError
from hil.cli.trace_files import say
from hil.report.compare import Row, compare, read_limit
from hil.report.figures import Exchange, answering, exchange_of, figures_of
from hil.report.results import Result, kept_of, names_of, read_results, runs_text


@click.command(name="compare")
@click.argument("a", type=click.Path(path_type=Path))
@click.argument("b", type=click.Path(path_type=Path))
@click.option("--limit", "limits", multiple=True, metavar="NAME=+10%|+5", help="How much worse a figure of B may be.")
@click.option("--json", "as_json", is_flag=True, help="One JSON object.")
def command(a: Path, b: Path, limits: tuple[str, ...], *, as_json: bool) -> None:
    """Compare run B with run A: firmware B against A, a gateway against the one before.

    Both are folders of `--hil-record`. The figures: latency_p99 (send to answer), retries, errors, drops (sends that
    nothing answered, on buses that answer in either run), coverage (values and setpoints of the profiles that the run
    exercised), failed_tests, and measure.NAME of each measurement. Only what gets worse fails, by more than its limit;
    the standard limit is 0. A measurement with one limit gets worse towards it; of others the sign of --limit says what
    is worse: +5%, -5%, or 5% for both. What A had and B has no more fails where it is given a limit.

    \b
    For example:
      tidegate hil run --hil-record old ; tidegate hil run --hil-record new
      tidegate hil compare old new --limit latency_p99=+10% --limit retries=+2

    Exit codes: 0 nothing got worse, 1 something did, 2 a folder is missing or an option is wrong.
    """  # noqa: D301 - click keeps the lines behind its mark
    runs = [_run(folder) for folder in (a, b)]
    buses = answering(each for _, exchanges in runs for each in exchanges)
    before, after = (figures_of(results, exchanges, buses) for results, exchanges in runs)
    rows = compare(before, after, [read_limit(text) for text in limits])
    is_good = all(row.is_within for row in rows)
    if as_json:
        sys.stdout.write(json.dumps({"rows": [row.facts() for row in rows], "pass": is_good}, allow_nan=False) + "\n")
    else:
        sys.stdout.write(_heading(a, b) + _table(rows))
    sys.exit(0 if is_good else 1)


def _run(folder: Path) -> tuple[list[Result], list[Exchange]]:
    """Return a run's results, and what passed in it. Raises: UsageError for a trace that is more than torn."""
    results = read_results(folder)
    exchanges = []
    for result in results:
        kept = kept_of(result)
        if kept.problem and not kept.is_torn:
            raise UsageError(kept.problem)
        if kept.problem:
            say(kept.problem)
        exchanges.append(exchange_of(kept.records))
    return results, exchanges


def _heading(*folders: Path) -> str:
    lines = []
    for name, folder in zip("AB", folders, strict=True):
        results = read_results(folder)
        about = ", ".join(f"{key} {value}" for key, value in names_of(results).items() if value)
        lines.append(f"{name}: {folder} ({runs_text(results)}; {about})\n")
    return "".join(lines) + "\n"


def _table(rows: list[Row]) -> str:
    cells = [("figure", "A", "B", "change", "limit", "")]
    cells += [
        (row.name, _text(row.a, row.unit), _text(row.b, row.unit), _signed(row.change), row.limit or "none",
         "" if row.is_within else "WORSE")
        for row in rows
    ]  # fmt: skip
    widths = [max(map(len, column)) for column in zip(*cells, strict=True)]
    return "".join(
        "  ".join(cell.ljust(width) for cell, width in zip(line, widths, strict=True)).rstrip() + "\n" for line in cells
    )


def _text(value: float | None, unit: str) -> str:
    return "-" if value is None else f"{value:.6g} {unit}".rstrip()


def _signed(value: float | None) -> str:
    return "-" if value is None else f"{value:+.6g}"
