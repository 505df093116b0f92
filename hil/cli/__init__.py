"""Layer 9: `tidegate hil`, `tidegate trace` and `tidegate record`. A command's module loads when it is used."""

from __future__ import annotations

from collections.abc import Mapping
from importlib import import_module
from importlib.util import find_spec

import click


class LazyGroup(click.Group):
    """A group whose commands are `NAME -> "module:attribute"`; one whose module is not installed is not listed."""

    def __init__(self, name: str, text: str, homes: Mapping[str, str]) -> None:
        """Take the group's name and help text."""
        super().__init__(name=name, help=text)
        self._homes = homes

    def list_commands(self, ctx: click.Context) -> list[str]:  # noqa: ARG002 - click's signature
        """Return the names of those that are there."""
        return sorted(name for name, home in self._homes.items() if find_spec(home.partition(":")[0]) is not None)

    def get_command(self, ctx: click.Context, cmd_name: str) -> click.Command | None:
        """Load a command."""
        if cmd_name not in self.list_commands(ctx):
            return None
        module, _, attribute = self._homes[cmd_name].partition(":")
        command = getattr(import_module(module), attribute)
        assert isinstance(command, click.Command), f"{self._homes[cmd_name]} is no command"
        return command


_NAMES = ("agent", "check", "compare", "doctor", "replay", "report", "reserve", "run", "shell")

group = LazyGroup(
    "hil",
    "Test a device in a loop with this machine: on a laptop, in the kernel rig, on the bench.\n\n"
    "For example `tidegate hil run` in a folder of tests, or `tidegate hil check bench.toml`.",
    {name: f"hil.cli.{name}:command" for name in _NAMES},
)
