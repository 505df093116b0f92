"""Layer 2: bytes to frames and back, without I/O."""
