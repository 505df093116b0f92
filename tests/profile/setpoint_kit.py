"""Short ways to profiles with setpoints, and to what a device said last, in tests."""

from __future__ import annotations

from typing import Any

from gateway.profile.build import CompiledProfile
from gateway.profile.load import find_profile, load_profile
from gateway.profile.model import Profile
from gateway.profile.setpoint import Latest, Seen, compile_setpoints
from gateway.profile.setpoints import Setpoints
from gateway.profile.validate import examine

HEAD = """
[profile]
id = "test/made@1.0.0"
family = "made"
"""


def profile_of(text: str) -> Profile:
    """Return a profile written in a test; its head is added."""
    examined = examine("test.toml", (HEAD + text).encode(), {}, lambda _name: b"")
    errors = [problem for problem in examined.problems if problem.severity == "error"]
    assert errors == []
    assert examined.profile is not None
    return examined.profile


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
