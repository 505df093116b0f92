"""Layer 9: `tidegate shadow`."""

from __future__ import annotations

from typing import Any

import click
import msgspec

from gateway.cli.client import data_option, json_option, table, token_option
from gateway.cli.talk import ask_once, json_text
from gateway.plain import printable, value_text


class _State(msgspec.Struct, frozen=True):
    desired: dict[str, Any] = {}
    reported: dict[str, Any] = {}
    effective: dict[str, Any] = {}
    delta: dict[str, Any] = {}


class _Shadow(msgspec.Struct, frozen=True):
    """The document of one device; keys in this order."""

    device: str
    version: int
    state: _State
    metadata: dict[str, Any]
    coherence: dict[str, str]
    stale: bool

    def as_text(self) -> str:
        """Return a head line and a table of setpoints."""
        head = f"{printable(self.device)}, version {self.version}{', stale' if self.stale else ''}"
        if not self.coherence:
            return f"{head}; its profile has no setpoints"
        parts = (self.state.desired, self.state.reported, self.state.effective)
        rows = [("SETPOINT", "DESIRED", "REPORTED", "EFFECTIVE", "COHERENCE")]
        for name, word in self.coherence.items():
            desired, reported, effective = (value_text(part.get(name)) for part in parts)
            rows.append((name, desired, reported, effective, word))
        return f"{head}\n{table(rows)}"


@click.command(name="shadow")
@click.argument("device")
@json_option
@token_option
@data_option
def command(device: str, *, as_json: bool, token: str | None, data: str | None) -> None:
    """Show what is wanted of DEVICE, what it reports, what became of it, and how far the two agree.

    STABLE: as wanted, or nothing is wanted. PENDING: a command is under way. CLAMPED: the device took its limit.
    DIVERGED: it reports something else. STALE: what it reported is too old to count. UNKNOWN: it never reported.

    For example `tidegate shadow pump`, or `tidegate shadow pump --json` for programs. Exit 2: no such device. 3: no
    gateway.
    """
    told = ask_once(data, token, "shadow", _Shadow, device=device)
    click.echo(json_text(told) if as_json else told.as_text())
