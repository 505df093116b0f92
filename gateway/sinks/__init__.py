"""Layer 7: what leaves the gateway by itself: store and forward over the ledger, and the formats of each receiver."""
