"""What holds for the whole suite."""

from __future__ import annotations

from hypothesis import settings

settings.register_profile("suite", deadline=None)  # a test proves an end, not a speed: machines are busy
settings.load_profile("suite")
