"""`tidegate hil check`: what is wrong with rig files, all at once."""

from __future__ import annotations

import json
from pathlib import Path

import click

from gateway.errors import Problem, UsageError

EXIT_NO, EXIT_USAGE = 1, 2  # as every command of Tidegate


@click.command(
    name="check",
    help="Print every problem of rig files as FILE:LINE: KEY: message.\n\n"
    "Exit 0: fine. 1: a problem refuses a file. 2: a file cannot be read.",
)
@click.argument("files", nargs=-1, metavar="FILE...")
@click.option("--json", "as_json", is_flag=True, help="Print one JSON object with problems and targets.")
@click.option("--schema", is_flag=True, help="Print the JSON Schema of rig files instead, for editors.")
@click.pass_context
def command(context: click.Context, files: tuple[str, ...], *, as_json: bool, schema: bool) -> None:
    """Check files."""
    if schema:
        from hil.rigs.schema import schema_text

        click.echo(schema_text(), nl=False)
        return
    if not files:
        raise UsageError("which rig file? tidegate hil check rig.toml")
    from hil.rigs.check import examine

    found = {file: examine(Path(file)) for file in files}
    problems = [problem for examined in found.values() for problem in examined.problems]
    unreadable = [examined.unreadable for examined in found.values() if examined.unreadable is not None]
    if as_json:
        targets = {
            file: {name: list(target.resource) for name, target in examined.rig.target.items()}
            for file, examined in found.items()
            if examined.rig is not None
        }
        rows = [problem._asdict() for problem in problems]
        click.echo(json.dumps({"problems": rows, "targets": targets, "unreadable": unreadable}, indent=2))
    else:
        for file, examined in found.items():
            for problem in examined.problems:
                click.echo(str(problem), err=problem.severity != "error")
            if examined.rig is not None and not _refuses(examined.problems):
                boards = [f"{name} ({' '.join(spec.resource)})" for name, spec in examined.rig.target.items()]
                click.echo(f"{file}: fine, rig {examined.rig.rig.name}: {', '.join(boards)}")
    for reason in unreadable:
        click.echo(f"tidegate: {reason}", err=True)
    context.exit(EXIT_USAGE if unreadable else EXIT_NO if _refuses(problems) else 0)


def _refuses(problems: list[Problem]) -> bool:
    return any(problem.severity == "error" for problem in problems)
