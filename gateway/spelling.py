"""Layer 0: what a misspelt word was probably meant to be."""

from __future__ import annotations

from collections.abc import Iterable

_FEW = 8  # options that are listed whole when none is near


def nearest(word: str, options: Iterable[str]) -> str | None:
    """Return the option closest to `word`, or None where none is close."""
    from difflib import get_close_matches

    by_folded = {option.lower().replace("-", "_"): option for option in options}
    folded = str(word).lower().replace("-", "_")  # a test may give anything
    matches = [folded] if folded in by_folded else get_close_matches(folded[:80], by_folded, n=1, cutoff=0.6)
    return by_folded[matches[0]] if matches else None


def did_you_mean(word: str, options: Iterable[str]) -> str:
    """Return "; did you mean 'scale'?", the options where they are few, or nothing."""
    known = list(options)
    near = nearest(word, known)
    if near is not None:
        return f"; did you mean {near!r}?"
    return f"; one of {', '.join(known)}" if 0 < len(known) <= _FEW else ""
