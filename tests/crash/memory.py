"""Pure functions of the ledger, remembered: most of what lies in one state lies in the next one too.

Nothing is decided here, and nothing is left out: a function that depends on its arguments alone is asked once for each.
"""

from __future__ import annotations

import sys
from collections.abc import Callable, Iterable
from functools import lru_cache
from typing import Any, Final

PURE: Final = {
    "gateway.ledger.segment": ("walk",),
    "gateway.ledger.frame": ("records_of", "has_true_chain"),
    "gateway.ledger.archive": ("open_block", "parse_footer", "frames_in"),
    "gateway.ledger.snapshot": ("raw_of",),
    "gateway.ledger.metafile": ("decode_meta",),
    "gateway.ledger.survey": ("_any_header",),
}
ITERATORS: Final = {"frames_in"}
REMEMBERED: Final = 8192


def _listed(function: Callable[..., Iterable[Any]]) -> Callable[..., tuple[Any, ...]]:
    return lambda *arguments: tuple(function(*arguments))


def remember() -> None:
    """Have every module of the ledger ask each pure function once for the same arguments."""
    for home, names in PURE.items():
        for name in names:
            function = getattr(sys.modules[home], name)
            if hasattr(function, "cache_info"):
                continue
            remembered = lru_cache(REMEMBERED)(_listed(function) if name in ITERATORS else function)
            for module in list(sys.modules.values()):
                if module.__name__.startswith("gateway.ledger") and getattr(module, name, None) is function:
                    setattr(module, name, remembered)
