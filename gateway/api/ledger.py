"""Layer 7: what can be asked of the ledger."""

from __future__ import annotations

from pathlib import Path


class LedgerQueries:
    """One per gateway."""

    def __init__(self, folder: Path) -> None:
        """Take the folder."""
        self.folder = folder
