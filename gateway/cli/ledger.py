"""Layer 9: `tidegate ledger`: make, fill, check and read ledgers. Each command loads when it is used."""

from __future__ import annotations

from importlib import import_module
from typing import Final

import click

_COMMANDS: Final = {
    "init": ("ledger_init", "init_command", "Make an empty ledger."),
    "append": ("ledger_append", "command", "Write records that come as JSON lines."),
    "export": ("ledger_verify", "export_command", "Print every record as a JSON line."),
    "verify": ("ledger_verify", "verify_command", "Check that nothing is missing, changed or damaged."),
    "head": ("ledger_verify", "head_command", "Print the end, to be kept elsewhere as evidence."),
    "show": ("ledger_look", "show_command", "Say what the ledger holds and how it is."),
    "tail": ("ledger_look", "tail_command", "Print the newest records, and new ones as they come."),
    "get": ("ledger_look", "get_command", "Print everything about one record."),
    "stats": ("ledger_look", "stats_command", "Count records and bytes by kind, class and route."),
    "compact": ("ledger_init", "compact_command", "Archive and expire now what is due."),
}


class _Group(click.Group):
    """A group whose commands load only when they are used, not for its help."""

    def list_commands(self, ctx: click.Context) -> list[str]:  # noqa: ARG002 - click's signature
        return list(_COMMANDS)

    def get_command(self, ctx: click.Context, cmd_name: str) -> click.Command | None:  # noqa: ARG002 - click's signature
        if cmd_name not in _COMMANDS:
            return None
        module, name, _ = _COMMANDS[cmd_name]
        command: click.Command = getattr(import_module(f"gateway.cli.{module}"), name)
        return command

    def format_commands(self, ctx: click.Context, formatter: click.HelpFormatter) -> None:  # noqa: ARG002 - click's
        """List the commands without loading them."""
        with formatter.section("Commands"):
            formatter.write_dl([(name, help_text) for name, (_, _, help_text) in _COMMANDS.items()])


@click.group(name="ledger", cls=_Group)
def group() -> None:
    """Make, fill, check and read ledgers: the durable record of what a gateway received, decided and did.

    Reading commands work beside a running gateway, on a copy, or on a read-only folder, and change nothing. They exit
    as `verify`: 0 intact, 1 intact with declared gaps, 2 damaged, 3 foreign or forged; 64 where there is no ledger.

    For example `tidegate ledger verify --deep`, `tidegate ledger tail -f`, `tidegate ledger head --json > head.json`.
    """
