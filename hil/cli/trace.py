"""`tidegate trace`: what passed on the buses, looked at, compared, as other programs have it."""

from __future__ import annotations

from hil.cli import LazyGroup

group = LazyGroup(
    "trace",
    "Look at traces, compare them, turn them into other programs' logs and back.\n\n"
    "A trace holds what passed on every bus, a JSON line each; `tidegate record` and the tests of `tidegate hil` write "
    "them. For example `tidegate trace show run.trace`, `tidegate trace convert drive.blf drive.trace`.",
    {name: f"hil.cli.trace_{name}:command" for name in ("convert", "diff", "show")},
)
