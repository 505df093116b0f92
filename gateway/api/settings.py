"""Layer 2: the tables `[http]` and `[metrics]` of a site file (PROFILES 10). Pure."""

from __future__ import annotations

import ipaddress
import re
from collections.abc import Iterator
from typing import Final

import msgspec

_LISTEN: Final = re.compile(r"(\[[0-9A-Fa-f:]+\]|[^:\s]+):(\d{1,5})")
LEAST_BODY_BYTES: Final = 1_024
MOST_BODY_BYTES: Final = 16 << 20
MOST_CONNECTIONS: Final = 10_000


class HttpConfig(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True, omit_defaults=True):
    """`[http]`: beyond loopback it needs TLS here, and a key for tokens in the data folder."""

    listen: str = "127.0.0.1:8080"
    tls_cert: str | None = None  # PEM files; a relative one starts at the site file's folder
    tls_key: str | None = None
    max_body: int = 65_536  # bytes of a request
    max_connections: int = 256

    @property
    def is_loopback(self) -> bool:
        """Return whether only this machine can come in."""
        return is_loopback(self.listen)

    def problems(self) -> Iterator[tuple[str, str]]:
        """Yield (key, message) for everything that cannot be."""
        if wrong := _wrong_address(self.listen):
            yield "listen", wrong
        elif not self.is_loopback and not (self.tls_cert and self.tls_key):
            yield "listen", f"{self.listen} is beyond this machine: give tls_cert and tls_key, and issue a token"
        elif (self.tls_cert is None) != (self.tls_key is None):
            yield "tls_cert", "tls_cert and tls_key go together"
        if not LEAST_BODY_BYTES <= self.max_body <= MOST_BODY_BYTES:
            yield "max_body", f"{self.max_body} is outside {LEAST_BODY_BYTES}..{MOST_BODY_BYTES} bytes"
        if not 1 <= self.max_connections <= MOST_CONNECTIONS:
            yield "max_connections", f"{self.max_connections} is outside 1..{MOST_CONNECTIONS}"


class MetricsConfig(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True, omit_defaults=True):
    """`[metrics]`: what Prometheus reads, at `/metrics` of the HTTP door or at an address of its own."""

    values: bool = False  # the values of routes too
    listen: str | None = None  # where there is no [http]

    def problems(self) -> Iterator[tuple[str, str]]:
        """Yield (key, message) for everything that cannot be."""
        if self.listen is None:
            return
        if wrong := _wrong_address(self.listen):
            yield "listen", wrong
        elif not is_loopback(self.listen):
            yield "listen", f"{self.listen} is beyond this machine, and here is neither TLS nor a token; use [http]"


def is_loopback(listen: str) -> bool:
    """Return whether an address can be reached from this machine only."""
    if _LISTEN.fullmatch(listen) is None:
        return False
    host, _ = address_of(listen)
    try:
        return ipaddress.ip_address(host).is_loopback
    except ValueError:
        return host == "localhost"


def address_of(listen: str) -> tuple[str, int]:
    """Return host, without the brackets of IPv6, and port of an address that was checked."""
    host, _, port = listen.rpartition(":")
    return host.strip("[]"), int(port)


def _wrong_address(listen: str) -> str:
    match = _LISTEN.fullmatch(listen)
    if match and 0 < int(match[2]) <= 65_535:
        return ""
    return f"{listen!r} is no address; write for example '127.0.0.1:8080'"
