"""`tidegate hil report`: a recorded run as one page."""

from __future__ import annotations

import sys
from collections.abc import Iterator
from pathlib import Path

import click

from gateway.errors import UsageError
from hil.cli.trace_files import EXIT_NO, say
from hil.report.page import page
from hil.report.results import Kept, kept_of, names_of, read_results, runs_text


@click.command(name="report")
@click.argument("folder", metavar="DIR", type=click.Path(path_type=Path))
@click.option("-o", "--output", required=True, metavar="FILE.html", type=click.Path(path_type=Path), help="Where to.")
def command(folder: Path, output: Path) -> None:
    """Write the run that was recorded in DIR (`--hil-record DIR`) as one page that needs nothing beside it.

    Tests with outcome, seed and trace, measurements with their limits, what passed on each bus, faults, versions.

    For example `tidegate hil run --hil-record run ; tidegate hil report run -o run.html`.

    Exit codes: 0 written, 1 written, but a trace is damaged (what stands before it is shown), 2 there is nothing to
    report, or FILE.html cannot be written.
    """
    results = read_results(folder)
    damaged: list[bool] = []

    def traces() -> Iterator[Kept]:
        for result in results:
            kept = kept_of(result)
            damaged.append(bool(kept.problem) and not kept.is_torn)
            if kept.problem:
                say(kept.problem)
            yield kept

    text = page(f"Test run {folder.absolute().name}", names_of(results), results, traces())
    try:
        output.write_text(text, encoding="utf-8", errors="replace")
    except OSError as error:
        raise UsageError(f"{output}: {error.strerror}") from error
    say(f"{output}: {runs_text(results)}, {len(text) // 1024 + 1} KiB")
    sys.exit(EXIT_NO if any(damaged) else 0)
