"""`tidegate hil report`: a recorded run as one page."""

from __future__ import annotations

from pathlib import Path

import click

from gateway.errors import UsageError
from hil.report.page import page
from hil.report.results import names_of, read_results, records_of, runs_text


@click.command(name="report")
@click.argument("folder", metavar="DIR", type=click.Path(path_type=Path))
@click.option("-o", "--output", required=True, metavar="FILE.html", type=click.Path(path_type=Path), help="Where to.")
def command(folder: Path, output: Path) -> None:
    """Write the run that was recorded in DIR (`--hil-record DIR`) as one page that needs nothing beside it.

    Tests with outcome, seed and trace, measurements with their limits, what passed on each bus, faults, versions.

    For example `tidegate hil run --hil-record run ; tidegate hil report run -o run.html`.
    """
    results = read_results(folder)
    text = page(f"Test run {folder.name}", names_of(results), results, (list(records_of(each)) for each in results))
    try:
        output.write_text(text, encoding="utf-8")
    except OSError as error:
        raise UsageError(f"{output}: {error.strerror}") from error
    click.echo(f"{output}: {runs_text(results)}, {len(text) // 1024 + 1} KiB", err=True)
