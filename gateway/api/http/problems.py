"""Layer 7: what the HTTP door says where it does not do what it was asked: problem details (RFC 9457), stable types."""

from __future__ import annotations

from typing import Any, Final

import msgspec

from gateway.errors import (
    DeniedError,
    GatewayError,
    LedgerError,
    LedgerMissingError,
    NotKeptError,
    RouteError,
    UnderWayError,
    UnknownError,
)

TYPE_PREFIX: Final = "urn:tidegate:problem:"
PROBLEM_JSON: Final = "application/problem+json"

STATUS_OF: Final = {
    "denied": 403, "unknown_route": 404, "interlock": 409, "fill": 409, "version": 412, "range": 422, "step": 422,
    "type": 422, "key_reused": 422, "not_durable": 503, "starting": 503,
}  # fmt: skip
"""By the reason that `set --json` gives where nothing became a command."""

TITLES: Final = {
    "malformed": "The request cannot be read",
    "unauthorized": "This needs a token",
    "bad_token": "The token counts for nothing",
    "denied": "No grant allows this",
    "foreign_host": "This address is not ours",
    "foreign_origin": "Another site's page asked",
    "unknown_path": "There is nothing at this path",
    "unknown_route": "There is no such route",
    "unknown_device": "There is no such device",
    "unknown_command": "There is no such command",
    "unknown_profile": "There is no such profile",
    "unknown_record": "There is no such record",
    "no_ledger": "This gateway keeps no ledger",
    "method": "This path takes other methods",
    "timeout": "The request did not come in time",
    "handshake": "The WebSocket is of another version",
    "immutable": "A version of a profile never changes",
    "profile": "The profile cannot be used",
    "interlock": "An interlock forbids it",
    "fill": "The rest of the message is not known",
    "version": "The shadow has changed since",
    "too_large": "The request is too large",
    "media_type": "The body is of another kind",
    "range": "The value is out of range",
    "step": "The value is not on the grid",
    "type": "The value is of another type",
    "key_reused": "The key names another command",
    "precondition": "The version that is to be changed must be named",
    "rate": "Too many requests",
    "headers": "The head of the request is too large",
    "not_durable": "The ledger takes nothing now",
    "starting": "The gateway is starting",
    "busy": "Too much is under way",
    "fault": "A fault of the gateway's own",
}
"""Every code there is, with what it says to people. Codes never change their meaning."""


class Problem(Exception):
    """One refusal."""

    def __init__(
        self, status: int, code: str, detail: str, headers: dict[str, str] | None = None, **more: Any
    ) -> None:  # fmt: skip
        """Take the HTTP status, a code of `TITLES`, a sentence with the next step, further headers and members."""
        super().__init__(detail)
        self.status = status
        self.code = code
        self.detail = detail
        self.headers = headers or {}
        self.more = more

    def body(self) -> bytes:
        """Return it as `application/problem+json`."""
        told = {
            "type": f"{TYPE_PREFIX}{self.code}", "title": TITLES[self.code], "status": self.status,
            "detail": self.detail, "code": self.code,
        }  # fmt: skip
        return msgspec.json.encode(told | self.more)


def problem_of(error: GatewayError | msgspec.MsgspecError) -> Problem:
    """Return what an error of the gateway is to an HTTP client."""
    match error:
        case DeniedError():
            return Problem(403, "denied", str(error))
        case UnknownError():
            return Problem(404, f"unknown_{error.what}", str(error))
        case UnderWayError():
            return Problem(503, "busy", str(error), {"Retry-After": "5"})
        case LedgerMissingError():
            return Problem(404, "no_ledger", "nothing is recorded here; [ledger] of the site file says why")
        case LedgerError() | NotKeptError():
            return Problem(503, "not_durable", str(error), {"Retry-After": "5"})
        case _:
            return Problem(400, "malformed", str(error))


def no_such_route(error: RouteError) -> Problem:
    """Return what a text that is no route is where it stands in a path."""
    return Problem(404, "unknown_route", str(error))
