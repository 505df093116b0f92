"""Layer 3: whether a USB adapter is the one that a profile knows by `link.match`."""

from __future__ import annotations

from gateway.profile.model import MatchSpec
from gateway.udev.identity import UsbIdentity


def compared(match: MatchSpec, plugged: UsbIdentity) -> tuple[list[str], list[str]]:
    """Return the keys of `match` that agree with an adapter, and those that do not."""
    facts = {
        "vid_pid": f"{plugged.vid:04x}:{plugged.pid:04x}",
        "product": plugged.product or "",
        "serial": plugged.serial or "",
    }
    wanted = {key: value for key in facts if (value := getattr(match, key)) is not None}
    same = {key for key, value in wanted.items() if value.lower() == facts[key].lower()}
    return [key for key in wanted if key in same], [key for key in wanted if key not in same]


def contradiction(match: MatchSpec, plugged: UsbIdentity) -> str | None:
    """Return in words that an adapter is not the one a profile knows, naming both; None where it may be."""
    _, differing = compared(match, plugged)
    if not differing:
        return None
    wanted = ", ".join(f"{key} {getattr(match, key)}" for key in differing)
    product = f" {plugged.product!r}" if plugged.product else ""
    return f"the adapter there is {plugged}{product}, the profile is for {wanted}"
