"""Layer 7: what can be asked of a running gateway and done with it: one layer behind every door."""
