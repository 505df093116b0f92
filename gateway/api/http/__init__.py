"""Layer 7: the HTTP door. Nothing here is imported unless a site asks for it."""
