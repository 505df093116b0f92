"""Layer 9: one thing that a scan found, for people and for programs."""

from __future__ import annotations

import shutil
import textwrap
from collections.abc import Iterable, Iterator
from typing import Any, Final

import msgspec

from gateway.plain import printable
from gateway.profile.build import CompiledProfile
from gateway.profile.recognise import Evidence, score
from gateway.udev.identity import UsbIdentity

MOST_PROFILES: Final = 5  # shown for one port; --json has all
MOST_LISTED: Final = 8
_UNITS: Final = {"bps": "bit/s", "dbm": "dBm"}
_SAID: Final = {("up", False): "down", ("fd", True): "CAN FD", ("fd", False): "classic CAN"}


class Fit(msgspec.Struct, frozen=True):
    """A profile that explains what was found."""

    name: str
    score: int  # 0..100
    reasons: list[str]


class Found(msgspec.Struct, kw_only=True):
    """One port, or one radio address; filled in as more is known. The keys are those of `scan --json`."""

    bus: str
    port: str  # the text for a site file: its most stable name
    node: str | None = None
    links: list[str] = []
    driver: str | None = None
    usb: dict[str, str | None] | None = None
    claimed: str | None = None  # by whom
    state: dict[str, Any] = {}  # facts of the bus, named with their units
    heard: dict[str, Any] | None = None  # None: nobody listened
    profiles: list[Fit] = []  # the best first
    note: str | None = None  # what hindered, and the next step


def usb_facts(identity: UsbIdentity | None) -> dict[str, str | None] | None:
    """Return an identity for JSON."""
    if identity is None:
        return None
    vid_pid = f"{identity.vid:04x}:{identity.pid:04x}"
    return {"vid_pid": vid_pid, "serial": identity.serial, "product": identity.product}


def fits(profiles: Iterable[tuple[str, CompiledProfile]], evidence: Evidence) -> list[Fit]:
    """Return the profiles that have something for them, the best first."""
    found = [Fit(name, *score(compiled, evidence)) for name, compiled in profiles]
    return sorted((fit for fit in found if fit.score > 0), key=lambda fit: (-fit.score, fit.name))


def better(fits: Iterable[Fit], others: Iterable[Fit]) -> list[Fit]:
    """Return the best of two rankings for each profile, the best first."""
    best: dict[str, Fit] = {}
    for fit in (*fits, *others):
        if fit.name not in best or fit.score > best[fit.name].score:
            best[fit.name] = fit
    return sorted(best.values(), key=lambda fit: (-fit.score, fit.name))


def block(found: Found) -> str:
    """Return a few lines for people, as wide as the terminal."""
    width = max(40, shutil.get_terminal_size((100, 24)).columns)
    lines = [f"{found.bus:5}{printable(found.port)}"]
    for text in _lines(found):
        lines += textwrap.wrap(
            printable(text),
            width,
            initial_indent=" " * 5,
            subsequent_indent=" " * 9,
            break_long_words=False,
            break_on_hyphens=False,
        )
    return "\n".join(lines)


def _lines(found: Found) -> Iterator[str]:
    others = [link for link in found.links if link != found.port]
    usb = [f"usb:{found.usb['vid_pid']}", found.usb["product"], found.usb["serial"]] if found.usb else []
    about = [found.node if found.node != found.port else None, found.driver, " ".join(filter(None, usb))]
    told = [each for each in about if each] + [_fact(key, value) for key, value in found.state.items()]
    if told:
        yield ", ".join(told)
    yield from (f"also {link}" for link in others)
    if found.claimed:
        yield f"held by {found.claimed}: left alone"
    if found.heard is not None:
        yield f"heard: {', '.join(_fact(key, value) for key, value in found.heard.items()) or 'nothing'}"
    for fit in found.profiles[:MOST_PROFILES]:
        yield f"{fit.score:3} {fit.name}: {'; '.join(fit.reasons)}"
    if len(found.profiles) > MOST_PROFILES:
        yield f"    and {len(found.profiles) - MOST_PROFILES} more profiles"
    if found.note:
        yield found.note


def _fact(key: str, value: Any) -> str:
    if isinstance(value, bool):
        return _SAID.get((key, value)) or (key if value else f"not {key}")
    name, _, unit = key.rpartition("_")
    if name and unit in _UNITS:
        return f"{name.replace('_', ' ')} {value:,} {_UNITS[unit]}"
    if isinstance(value, int):
        return f"{value:,} {key}"
    if isinstance(value, list):
        rest = f" and {len(value) - MOST_LISTED} more" if len(value) > MOST_LISTED else ""
        return f"{key} {', '.join(map(str, value[:MOST_LISTED]))}{rest}"
    return f"{key} {value}"
