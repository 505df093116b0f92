"""`tidegate hil doctor`: what a rig could use on this machine, and which resources of a rig file are there."""

from __future__ import annotations

import json
from pathlib import Path
from typing import TYPE_CHECKING

import click

from gateway.plain import printable
from hil.rigs.doctor import Finding, Machine

if TYPE_CHECKING:
    from hil.rigs.presence import Present
    from hil.rigs.remote import Agent

EXIT_NO = 1


@click.command(
    name="doctor",
    help="Say which backends of a rig work on this machine, and what mends those that do not; with FILE also which of "
    "its resources are there, and as what. No port is opened here; an agent that FILE names is asked for its own, for "
    "a few seconds, with the keys that TIDEGATE_AGENT_CA, _CERT, _KEY and _TOKEN_FILE name.\n\n"
    "Exit 0: fine. 1: a resource of FILE is missing, or FILE has mistakes. 2: FILE cannot be read.",
)
@click.argument("file", required=False, metavar="[FILE]")
@click.option("--json", "as_json", is_flag=True, help="Print one JSON object with backends, agents and resources.")
@click.option("--root", default="/", show_default=True, help="Look at the file system of another machine.")
@click.pass_context
def command(context: click.Context, file: str | None, *, as_json: bool, root: str) -> None:
    """Look at the machine."""
    from hil.rigs.doctor import examine

    machine = Machine(Path(root))
    agents, resources = ([], []) if file is None else _found(context, file, machine)
    findings = examine(machine)
    if as_json:
        told = {
            "backends": [finding._asdict() for finding in findings],
            "agents": [each._asdict() for each in agents],
            "resources": [each._asdict() for each in resources],
        }
        click.echo(json.dumps(told, indent=2))
    else:
        for finding in findings:
            _print(finding.name, finding)
        for agent in agents:
            _print("agent", Finding("", agent.answers, f"{agent.agent}: {agent.message}", agent.fix))
        for each in resources:
            where = f" is {each.node}" if each.works and each.node not in {"", each.port} else ""
            what = Finding("", each.works, f"{each.port}{where}: {each.message}", each.fix)
            _print(f"{each.target}.{each.resource}", what)
    context.exit(0 if all(each.works for each in resources) else EXIT_NO)


def _found(context: click.Context, file: str, machine: Machine) -> tuple[list[Agent], list[Present]]:
    from gateway.errors import ConfigError
    from hil.rigs.file import load
    from hil.rigs.presence import present

    try:
        rig = load(file)
    except ConfigError as error:
        click.echo(str(error))
        context.exit(EXIT_NO)
    here = present(rig, machine)
    if not any(each.agent for target in rig.target.values() for each in target.resource.values()):
        return [], here
    from hil.rigs.remote import reached

    agents, there = reached(rig)
    return agents, [*here, *there]


def _print(name: str, finding: Finding) -> None:
    mark = click.style("ok", fg="green") if finding.works else click.style("no", fg="yellow")
    click.echo(f"{mark}  {name:12} {printable(finding.message)}")
    if finding.fix and not finding.works:
        click.echo(f"      -> {printable(finding.fix)}")
