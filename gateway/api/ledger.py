"""Layer 7: what can be asked of the ledger."""


class LedgerQueries:
    """One per gateway."""
