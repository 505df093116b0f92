"""Layer 3: device profile files."""
