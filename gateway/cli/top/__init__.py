"""Layer 9: `tidegate top`: what the dashboard shows, on a terminal."""
