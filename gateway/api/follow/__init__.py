"""Layer 7: what the ledger records, told to who follows it: as it is numbered, or from the medium."""
