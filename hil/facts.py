"""What is known of something at one instant: JSON-ready facts, each an item and an attribute."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from typing import Any

from gateway.spelling import did_you_mean


class Facts(Mapping[str, Any]):
    """`facts.value` and `facts["value"]` are the same."""

    def __init__(self, facts: Mapping[str, Any]) -> None:
        self._facts = dict(facts)

    def __getitem__(self, name: str) -> Any:
        """Return a fact. Raises: KeyError."""
        return self._facts[name]

    def __getattr__(self, name: str) -> Any:
        """Return a fact. Raises: AttributeError naming the nearest."""
        if name.startswith("__") or name not in self._facts:
            raise AttributeError(f"there is no {name!r}{did_you_mean(name, self._facts)}")
        return self._facts[name]

    def __iter__(self) -> Iterator[str]:
        """Give the names."""
        return iter(self._facts)

    def __len__(self) -> int:
        """Return how many facts."""
        return len(self._facts)

    def __repr__(self) -> str:
        """Return the facts as they are."""
        return f"Facts({self._facts!r})"
