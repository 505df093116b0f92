"""What recorded runs tell: one page for people, and a comparison of two runs with limits."""
