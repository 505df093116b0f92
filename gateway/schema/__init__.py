"""Layer 2: frame bodies to typed values and back."""
