"""Layer 7: what comes, as the ledger numbers it."""


class Feed:
    """One per gateway."""
