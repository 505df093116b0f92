"""Layer 9: shipped fakes and contract checks, for our tests and for plugin authors. Names load when first used."""

from __future__ import annotations

from importlib import import_module
from typing import Any, Final

_HOMES: Final = {
    "FakeClock": "gateway.testing.clock",
    "run_on_fake_clock": "gateway.testing.clock",
    "loop_on_fake_clock": "gateway.testing.clock",
    "ScriptedPort": "gateway.testing.ports",
    "AnsweringPort": "gateway.testing.ports",
    "SampledPort": "gateway.testing.ports",
    "MemoryStorage": "gateway.testing.storage",
    "FaultyStorage": "gateway.testing.storage",
    "Fault": "gateway.testing.storage",
    "MemoryLedger": "gateway.testing.ledger",
    "check_framer": "gateway.testing.framer",
    "check_driver": "gateway.testing.driver",
}
__all__ = [  # noqa: PLE0604 - the table above is the list
    *_HOMES
]


def __getattr__(name: str) -> Any:
    """Return a public name from its own module."""
    if name not in _HOMES:
        raise AttributeError(f"gateway.testing has no {name!r}; it has {', '.join(sorted(_HOMES))}")
    return getattr(import_module(_HOMES[name]), name)
