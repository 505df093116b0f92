"""Layer 9: `tidegate profile`: list, show, check and describe profile files."""

from __future__ import annotations

import json
from importlib import import_module
from pathlib import Path
from typing import Final

import click

from gateway.cli import EXIT_NO, EXIT_USAGE
from gateway.errors import Problem

_LAZY: Final = {
    "new": "gateway.cli.profile_new",
    "import": "gateway.cli.profile_import",
    "install": "gateway.cli.profile_install",
    "use": "gateway.cli.profile_use",
    "installed": "gateway.cli.profile_installed",
}


class _Group(click.Group):
    """A group some of whose commands load only when they are used."""

    def list_commands(self, ctx: click.Context) -> list[str]:
        return sorted([*super().list_commands(ctx), *_LAZY])

    def get_command(self, ctx: click.Context, cmd_name: str) -> click.Command | None:
        if cmd_name not in _LAZY:
            return super().get_command(ctx, cmd_name)
        module = import_module(_LAZY[cmd_name])
        command: click.Command = getattr(module, "command", None) or module.group
        return command


@click.group(name="profile", cls=_Group, help="List, show, check, make, import, install and use device profiles.")
def group() -> None:
    """Hold the commands below."""


@group.command(name="list", help="Print the names of the profiles that come with Tidegate, one a line.")
@click.option("--json", "as_json", is_flag=True, help="Print a JSON list with id, title, bus and file.")
def list_command(*, as_json: bool) -> None:
    """Print what is shipped."""
    from gateway.profile.load import example_profile, shipped_profiles

    if not as_json:
        for name in shipped_profiles():
            click.echo(name)
        return
    rows = []
    for name, path in shipped_profiles().items():
        profile = example_profile(path)
        head = profile.profile
        title = head.title or head.id
        rows.append({"name": name, "id": head.id, "title": title, "bus": profile.link.bus, "file": str(path)})
    click.echo(json.dumps(rows, indent=2))


@group.command(name="show", help="Print what a profile says: link, framing, messages and their fields with units.")
@click.argument("name")
@click.option("--json", "as_json", is_flag=True, help="Print the whole profile, defaults left out, as JSON.")
def show_command(name: str, *, as_json: bool) -> None:
    """Print one profile for people or for programs."""
    from gateway.profile.load import example_profile, find_profile

    path = find_profile(name)
    profile = example_profile(path)
    if as_json:
        import msgspec

        document = {"name": path.parent.name, "file": str(path), **msgspec.to_builtins(profile)}
        click.echo(json.dumps(document, indent=2))
        return
    from gateway.cli.profile_text import described

    click.echo(f"file      {path}")
    for line in described(profile):
        click.echo(line)


@group.command(
    name="check",
    help="Print every problem of profile files as FILE:LINE: KEY: message; exit 1 if one refuses its file.\n\n"
    "FILE is a profile, a DBC, or a shipped name. A file without errors is told message by message: which decoder "
    "serves it, and why.",
)
@click.argument("files", nargs=-1, required=True, metavar="FILE...")
@click.option("--json", "as_json", is_flag=True, help="Print one JSON object with problems and messages.")
@click.pass_context
def check_command(context: click.Context, files: tuple[str, ...], *, as_json: bool) -> None:
    """Check files."""
    from gateway.profile.load import check_profile, find_profile
    from gateway.registry import transforms

    known = transforms()
    paths = [find_profile(name) for name in files]
    problems: list[Problem] = []
    messages: list[dict[str, str]] = []
    for path in paths:
        found = check_profile(path, known)
        told = [] if _refuses(found) else _paths_taken(path)
        problems += found
        messages += told
        if not as_json:
            _print(path, found, told)
    if as_json:
        click.echo(
            json.dumps({"problems": [problem._asdict() for problem in problems], "messages": messages}, indent=2)
        )
    if any(problem.line == 0 for problem in problems):
        context.exit(EXIT_USAGE)
    context.exit(EXIT_NO if _refuses(problems) else 0)


def _refuses(problems: list[Problem]) -> bool:
    return any(problem.severity == "error" for problem in problems)


def _paths_taken(path: Path) -> list[dict[str, str]]:
    """Return file, name, path and why of each message of a file without errors."""
    from gateway.profile.build import CompiledProfile
    from gateway.profile.load import example_profile

    compiled = CompiledProfile(example_profile(path))
    plans = [compiled.messages[name] for name in compiled.profile.message]
    return [{"file": str(path), "name": plan.name, "path": plan.path, "why": plan.why} for plan in plans]


def _print(path: Path, found: list[Problem], told: list[dict[str, str]]) -> None:
    for problem in found:
        click.echo(str(problem))
    if _refuses(found):
        return
    click.echo(f"{path}: fine")
    width = max((len(row["name"]) for row in told), default=0)
    for row in told:
        click.echo(f"  {row['name']:{width}}  {row['path']}: {row['why']}")


@group.command(name="schema", help="Print the JSON Schema of profile files, for editors.")
def schema_command() -> None:
    """Print the schema."""
    from gateway.profile.jsonschema import schema_text

    click.echo(schema_text(), nl=False)
