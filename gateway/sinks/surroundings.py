"""Layer 7: what a sink needs of its gateway."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any, Protocol

import msgspec

from gateway.authority.decision import Caller
from gateway.clock import Clock
from gateway.route import RoutePattern
from gateway.runtime.device import Device
from gateway.runtime.discovery import Discovery
from gateway.runtime.shadows import Twin


class Does(Protocol):
    """What callers may have done (`gateway.runtime.asks.Asks`)."""

    async def answer(self, name: str, args: dict[str, Any], caller: Caller) -> dict[str, Any]:
        """Return the answer. Raises: GatewayError, msgspec.ValidationError."""
        ...

    async def may_look(self, caller: Caller, pattern: str = "*") -> None:
        """Raises: DeniedError."""
        ...


class Knows(Protocol):
    """What can be read of a gateway."""

    def status(self) -> dict[str, Any]:
        """Return the object of `status --json`."""
        ...

    def devices(self) -> list[dict[str, Any]]:
        """Return the list of `devices --json`."""
        ...

    def routes(self, pattern: RoutePattern) -> list[dict[str, Any]]:
        """Return the list of `routes --json`."""
        ...


class Commands(Protocol):
    """What is known of commands (`gateway.runtime.dispatch.Dispatch`)."""

    twins: dict[str, Twin]

    async def outcome(self, command_id: str) -> dict[str, Any] | None:
        """Wait for the end of a command; None: nobody knows it any more."""
        ...


class Surroundings(msgspec.Struct, frozen=True, kw_only=True):
    """All of it."""

    name: str
    boot: str
    clock: Clock
    does: Does
    knows: Knows
    commands: Commands
    devices: Callable[[], Sequence[Device]]
    discoveries: Callable[[], Sequence[Discovery]]
