"""Layer 9: the command line. Thin: parse, call, print.

Commands come by entry point group `tidegate.commands` and load only when they are used. Exit codes: 0 fine, 1 the
answer is no, 2 usage or bad input, 3 cannot reach device or gateway.
"""

from __future__ import annotations

import os
import sys
from functools import cached_property
from importlib.metadata import EntryPoint, entry_points, version

import click

from gateway.errors import ConfigError, GatewayError, GatewayUnreachableError, PortError, ProfileError

EXIT_NO, EXIT_USAGE, EXIT_UNREACHABLE = 1, 2, 3


class _Commands(click.Group):
    """A group whose commands are entry points."""

    def __init__(self) -> None:
        super().__init__(
            name="tidegate",
            help="An embedded-device gateway: bytes from UART, SPI, BLE and CAN become typed, trusted values.\n\n"
            "Try `tidegate demo`, then `tidegate profile list`.",
            context_settings={"help_option_names": ["-h", "--help"]},
            params=[
                click.Option(
                    ["--version"],
                    is_flag=True,
                    is_eager=True,
                    expose_value=False,
                    callback=_print_version,
                    help="Print the version and exit.",
                )
            ],
        )

    @cached_property
    def _entries(self) -> dict[str, EntryPoint]:
        """The commands by name: looked up once, for it reads the metadata of everything that is installed."""
        return {entry.name: entry for entry in entry_points(group="tidegate.commands")}

    def list_commands(self, ctx: click.Context) -> list[str]:  # noqa: ARG002 - click's signature
        return sorted(self._entries)

    def get_command(self, ctx: click.Context, cmd_name: str) -> click.Command | None:  # noqa: ARG002 - click's signature
        entry = self._entries.get(cmd_name)
        if entry is None:
            return None
        try:
            command = entry.load()
        except Exception as error:  # plugin loading: one broken command must not stop the others
            raise click.ClickException(f"command {cmd_name!r} ({entry.value}) is broken: {error}") from error
        if not isinstance(command, click.Command):
            raise click.ClickException(f"command {cmd_name!r} ({entry.value}) is no click command")
        return command

    def invoke(self, ctx: click.Context) -> object:
        """Run the command; a reader that left (`| head`) is no failure, and there is nothing more to say."""
        try:
            answer: object = super().invoke(ctx)
            sys.stdout.flush()
        except BrokenPipeError:
            os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
            return 0
        return answer


def _print_version(ctx: click.Context, _parameter: click.Parameter, value: bool) -> None:
    if value:
        click.echo(f"tidegate {version('tidegate')}")
        ctx.exit()


def exit_code_of(error: GatewayError) -> int:
    """Return 3 for what cannot be reached, 2 for everything else that the caller can mend."""
    return EXIT_UNREACHABLE if isinstance(error, (PortError, GatewayUnreachableError)) else EXIT_USAGE


def main() -> None:
    """Run the command line; the one place where errors become messages and exit codes."""
    try:
        code = _Commands().main(standalone_mode=False)
    except click.ClickException as error:
        error.show()
        code = error.exit_code if error.exit_code != 1 else EXIT_USAGE
    except click.Abort:
        code = 130
    except GatewayError as error:
        prefix = "" if isinstance(error, (ProfileError, ConfigError)) else "tidegate: "
        click.echo(f"{prefix}{error}", err=True)
        code = exit_code_of(error)
    except OSError as error:  # a full disk behind the output, a file that may not be read
        click.echo(f"tidegate: {error}", err=True)
        code = EXIT_USAGE
    sys.exit(code if isinstance(code, int) else 0)
