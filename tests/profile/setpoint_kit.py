"""Short ways to profiles with setpoints, and to what a device said last, in tests."""

from __future__ import annotations

import tomllib
from typing import Any

import msgspec
from msgspec import structs

from gateway.profile.build import CompiledProfile
from gateway.profile.load import find_profile, load_profile
from gateway.profile.model import Profile
from gateway.profile.setpoint import Latest, Seen, compile_setpoints
from gateway.profile.setpoints import Setpoints

HEAD = """
[profile]
id = "test/made@1.0.0"
family = "made"
"""


def profile_of(text: str) -> Profile:
    """Return a profile written in a test, unchecked; its head is added, and parameter `unit` has its default."""
    raw = tomllib.loads(HEAD + text)
    unit = raw.get("params", {}).get("unit", {}).get("default")
    return structs.replace(msgspec.convert(raw, Profile), unit=unit)


def compiled(text: str) -> CompiledProfile:
    return CompiledProfile(profile_of(text))


def shipped(name: str) -> CompiledProfile:
    return CompiledProfile(load_profile(find_profile(name)))


def saying(received_ns: int = 0, **messages: dict[str, Any]) -> Latest:
    """Return a device that said these messages, all at one time."""
    return lambda message: Seen(messages[message], received_ns) if message in messages else None


def nothing_said(message: str) -> None:
    del message


def setpoints_of(
    profile: CompiledProfile, adjust: dict[str, tuple[float, float]] | None = None, **keys: int
) -> Setpoints:
    """Return the setpoints of a new device."""
    return Setpoints(compile_setpoints(profile), adjust, **keys)
