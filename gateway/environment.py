"""Layer 0: the only reader of environment variables. An empty variable counts as unset, but for the token's."""

from __future__ import annotations

import os
from pathlib import Path


def variable(name: str) -> str | None:
    """Return the value of an environment variable, None where it is unset or empty."""
    return os.environ.get(name) or None


def token() -> str | None:
    """Return `TIDEGATE_TOKEN`, None where it is unset. An empty one is a token: it is refused, never ignored.

    `TIDEGATE_TOKEN="$(cat FILE)"` with a file that is gone must not act by the rights of whoever typed it. Under
    `tidegate hil reserve take` the variable is the number of a lease of TIDEGATE_TARGET, which is no one's right here.
    """
    text = os.environ.get("TIDEGATE_TOKEN")
    is_lease = text is not None and variable("TIDEGATE_TARGET") is not None and text.isascii() and text.isdigit()
    return None if is_lease else text


def wants_colour() -> bool:
    """Return whether a terminal may be coloured: `NO_COLOR` is unset or empty (no-color.org)."""
    return variable("NO_COLOR") is None


def user_state_folder() -> Path:
    """Return where a user's gateway keeps its state: `$XDG_STATE_HOME/tidegate`, by default `~/.local/state/tidegate`.

    Source: XDG Base Directory Specification 0.8; a relative XDG_STATE_HOME is ignored, as it says.
    """
    base = Path(variable("XDG_STATE_HOME") or "")
    if not base.is_absolute():
        home = variable("HOME")
        base = (Path(home) if home else Path("/tmp")) / ".local" / "state"  # noqa: S108 - a user without a home
    return base / "tidegate"


def data_folder() -> Path:
    """Return `TIDEGATE_DATA`, else the user's state folder."""
    named = variable("TIDEGATE_DATA")
    return Path(named) if named else user_state_folder()
