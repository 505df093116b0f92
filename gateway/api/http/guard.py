"""Layer 7: who comes in at the HTTP door: which page of which address asks, in whose name, and how often. Pure.

Only `Authorization: Bearer` counts: no cookie, and nothing in an address. So no page of another site can act for its
reader; and a name that was bent to our address (DNS rebinding) is refused by its Host.
"""

from __future__ import annotations

import base64
import binascii
import ipaddress
from collections import OrderedDict
from collections.abc import Collection, Iterable
from typing import Final

from gateway.api.http.problems import Problem

WRITES_PER_S: Final = 50
MOST_HEAD_BYTES: Final = 16_384
MAX_PRINCIPALS: Final = 1_024  # that are counted; the one that was quiet longest is forgotten
SUBPROTOCOL: Final = "tidegate.v1"
_NS: Final = 1_000_000_000
_LOCAL_NAMES: Final = frozenset({"localhost"})
_ONCE: Final = frozenset({
    b"host", b"origin", b"authorization", b"content-type", b"content-encoding", b"idempotency-key", b"last-event-id",
})  # fmt: skip
"""Headers that mean one thing: whoever gives two of them and whoever stands between us may read different ones."""


def check_host(host: str | None, *, is_loopback: bool, names: Collection[str]) -> str:
    """Return the Host header of a request that is meant for us. Raises: Problem.

    An address is always one's own; a name only where this machine has it: on loopback that is `localhost` alone.
    """
    name = _name_of(host or "")
    if name is None:
        raise Problem(403, "foreign_host", "a request names in Host whom it is for")
    address = _address(name)
    known = _LOCAL_NAMES if is_loopback else _LOCAL_NAMES | {each.lower() for each in names}
    if (address is not None and (address.is_loopback or not is_loopback)) or name.lower() in known:
        return host or ""
    raise Problem(403, "foreign_host", f"Host {name[:80]!r} is not this gateway; use its address, or localhost")


def check_head(headers: Iterable[tuple[bytes, bytes]], target: int) -> None:
    """Take the head of a request, `target` bytes long before its headers.

    Raises: Problem for one that is too large, or has two meanings.
    """
    size, seen = target, set[bytes]()
    for name, value in headers:
        size += len(name) + len(value) + 4
        if name in _ONCE and name in seen:
            raise Problem(400, "malformed", f"{name.decode()} is given more than once")
        seen.add(name)
    if size > MOST_HEAD_BYTES:
        raise Problem(431, "headers", f"the head of a request has at most {MOST_HEAD_BYTES} bytes")
    if {b"content-length", b"transfer-encoding"} <= seen:
        raise Problem(400, "malformed", "content-length and transfer-encoding exclude each other")


def check_handshake(method: bytes, headers: Iterable[tuple[bytes, bytes]]) -> None:
    """Take the head of a request that wants a WebSocket. Raises: Problem where it cannot have one (RFC 6455, 4.2.1)."""
    told = dict(headers)
    if method != b"GET":
        raise Problem(405, "method", "a WebSocket begins with GET", {"Allow": "GET"})
    if told.get(b"sec-websocket-version", b"").strip() != b"13":
        raise Problem(426, "handshake", "Sec-WebSocket-Version is 13 here", {"Sec-WebSocket-Version": "13"})
    try:
        key = base64.b64decode(told.get(b"sec-websocket-key", b"").strip(), validate=True)
    except binascii.Error:
        key = b""
    if len(key) != 16:
        raise Problem(400, "malformed", "a WebSocket begins with a Sec-WebSocket-Key of 16 bytes in base64")


def check_origin(origin: str | None, scheme: str, host: str) -> None:
    """Take where a page came from that asks; none is no page. Raises: Problem for another site's."""
    if origin is not None and origin.lower() != f"{scheme}://{host}".lower():
        raise Problem(403, "foreign_origin", f"pages of {origin[:80]!r} may not ask this gateway")


def token_of(authorization: str | None, subprotocols: Collection[str] = ()) -> str | None:
    """Return the token that a request carries, None for none. Raises: Problem for credentials of another kind.

    A browser's WebSocket has no such header: it offers the subprotocols `tidegate.v1` and the token.
    """
    if authorization is not None:
        scheme, _, token = authorization.partition(" ")
        if scheme.lower() != "bearer" or not token.strip():
            raise unauthorized("credentials are given as `Authorization: Bearer TOKEN`, and in no other way")
        return token.strip()
    offered = [each for each in subprotocols if each != SUBPROTOCOL]
    return offered[0] if SUBPROTOCOL in subprotocols and offered else None


def unauthorized(detail: str, code: str = "unauthorized") -> Problem:
    """Return the refusal of who must say who they are."""
    return Problem(401, code, detail, {"WWW-Authenticate": "Bearer"})


class Allowance:
    """So many writes a second, for each principal; a quiet one may catch up with a second's worth."""

    def __init__(self, per_s: int = WRITES_PER_S) -> None:
        """Take how many."""
        self._per_s = per_s
        self._left: OrderedDict[str, tuple[float, int]] = OrderedDict()  # principal -> left, as of (monotonic)

    def take(self, principal: str, now_ns: int) -> float:
        """Count one; return 0.0 where it may be done, else in how many seconds the next may."""
        left, since_ns = self._left.pop(principal, (float(self._per_s), now_ns))
        left = min(float(self._per_s), left + (now_ns - since_ns) * self._per_s / _NS)
        is_free = left >= 1
        self._left[principal] = (left - 1 if is_free else left, now_ns)
        if len(self._left) > MAX_PRINCIPALS:
            self._left.popitem(last=False)
        return 0.0 if is_free else (1 - left) / self._per_s


def _name_of(host: str) -> str | None:
    """Return the name in a Host header, without its port; None for what is no such header."""
    if host.startswith("["):
        name, bracket, port = host[1:].partition("]")
        port = port.removeprefix(":")
        is_good = bool(bracket) and name != ""
    else:
        name, _, port = host.partition(":")
        is_good = name != ""
    return name if is_good and (port == "" or (port.isascii() and port.isdigit())) else None


def _address(name: str) -> ipaddress.IPv4Address | ipaddress.IPv6Address | None:
    try:
        return ipaddress.ip_address(name)
    except ValueError:
        return None
