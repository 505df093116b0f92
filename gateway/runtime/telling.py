"""Layer 6: what callers are told of commands that are not under way: refused before they began, or ended earlier."""

from __future__ import annotations

from typing import Any

from gateway.shadow.intent import Intent


def no_command(route: str, value: Any, key: str | None, reason: str, detail: str) -> dict[str, Any]:
    """Return what `set --json` tells of what did not become a command."""
    return {
        "id": None, "route": route, "outcome": None, "reason": reason, "desired": value, "reported": None,
        "effective": None, "clamped": False, "coherence": None, "attempts": 0, "receipt": None, "key": key,
        "detail": detail,
    }  # fmt: skip


def told_of(intent: Intent, result: dict[str, Any], receipt: int | None) -> dict[str, Any]:
    """Return what `set --json` tells of a command by its record alone."""
    told = {key: result[key] for key in ("outcome", "reason", "reported", "effective", "attempts") if key in result}
    return no_command(intent.route, intent.value, intent.key, "", "") | told | {
        "id": intent.id, "clamped": bool(result.get("clamped")), "receipt": receipt,
        "reason": result.get("reason") or None, "detail": result.get("detail") or None,
    }  # fmt: skip
