"""What a gateway answers to `set`."""

from __future__ import annotations

from typing import Any

ROUTE = "pump/motor/speed@desired"
KEYS = [
    "id", "route", "outcome", "reason", "desired", "reported", "effective", "clamped", "coherence", "attempts",
    "receipt", "key",
]  # fmt: skip


def answer(**facts: Any) -> dict[str, Any]:
    told = {
        "id": "c1", "route": ROUTE, "outcome": "reported", "reason": None, "desired": 1500, "reported": 1500,
        "effective": 1500, "clamped": False, "coherence": "STABLE", "attempts": 1, "receipt": 812, "key": None,
        "detail": None,
    }  # fmt: skip
    return {"ok": told | facts}


def refusal(reason: str, detail: str = "1500 is beyond 0 to 1200 rpm") -> dict[str, Any]:
    nothing = {"reported": None, "effective": None, "coherence": None, "attempts": 0, "receipt": None}
    return answer(id=None, outcome=None, reason=reason, detail=detail, **nothing)


def open_command() -> dict[str, Any]:
    return answer(outcome=None, reported=None, effective=None, coherence="PENDING", receipt=None)
