"""Who may do what: grants, walls and tokens, and the one decision that the dispatch asks for (PROFILES 10)."""
