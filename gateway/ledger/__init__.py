"""Layer 5: the ledger: what the gateway decides or keeps, durable. FORMAT.md beside this file is the contract.

with Ledger.open(folder) as ledger:
    seq = ledger.append("state", "pump/motor/speed@desired", {"value": 1200}, class_="state")

Names are resolved when they are asked for, so that a pure half loads no file half.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from gateway.ledger.ledger import Ledger as Ledger
    from gateway.ledger.record import Gap as Gap
    from gateway.ledger.record import Record as Record

__all__ = ["Gap", "Ledger", "Record"]


def __getattr__(name: str) -> Any:
    """Load what is asked for."""
    if name == "Ledger":
        from gateway.ledger.ledger import Ledger

        return Ledger
    if name in {"Gap", "Record"}:
        from gateway.ledger import record

        return getattr(record, name)
    raise AttributeError(name)
