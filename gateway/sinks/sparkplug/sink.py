"""Layer 7: the Sparkplug sink: a connection of its own to the broker of `[mqtt]`, whose will is the death of the node.

Each CONNECT has a number of its own, `bdSeq`, by which hosts tell which death belongs to which birth. It is kept in the
ledger, and durable before the CONNECT that names it goes out: no restart gives it twice.
"""

from __future__ import annotations

import asyncio
import contextlib
from collections.abc import Callable
from importlib.metadata import version
from typing import Any, Final

from paho.mqtt.client import MQTTMessage

from gateway.api.follow.history import History
from gateway.api.follow.stream import Stream
from gateway.ledger.fold import State
from gateway.runtime.crew import Crew
from gateway.sinks.mqtt.broker import BrokerSettings, BrokerSink, Save
from gateway.sinks.mqtt.connection import Connection, Will
from gateway.sinks.sparkplug.commands import IGNORED, REFUSAL, REFUSED, Commands
from gateway.sinks.sparkplug.delivery import GAP, Delivery
from gateway.sinks.sparkplug.payloads import Fact
from gateway.sinks.sparkplug.topics import Topics
from gateway.sinks.sparkplug.values import DataType
from gateway.sinks.surroundings import Surroundings

BDSEQ_ROUTE: Final = "sparkplug/node/bdseq@state"  # in the ledger, of kind `state`
DURABLE_S: Final = 5.0  # that a connection waits for its number to be on the medium

SaveState = Callable[[str, dict[str, Any], Callable[[range | None], None]], None]  # route, body, who hears it is kept


class Settings(BrokerSettings, frozen=True, kw_only=True):
    """Where the broker is, and which edge node we are there."""

    topics: Topics


class SparkplugSink(BrokerSink):
    """One edge node."""

    name = "sparkplug"

    def __init__(
        self,
        settings: Settings,
        gateway: Surroundings,
        save: Save,
        save_state: SaveState,
        *,
        stream: Stream,
        history: History,
    ) -> None:
        """Take what is followed, live and from the medium, and how cursor and state are kept."""
        self._topics = settings.topics
        self._gateway = gateway
        self._keep_state = save_state
        self._facts: dict[str, Fact] = {}
        self._delivery = Delivery(self._topics, stream=stream, history=history, gateway=gateway, facts=self._facts)
        self._bdseq: int | None = None  # of the last CONNECT, or the next; None: there was none in any life
        self._is_bdseq_used = True  # a CONNECT with it went out
        self._death = Will(self._topics.node("NDEATH"))  # of this connection
        super().__init__(settings, self._delivery, save, stream=stream, history=history)

    def _begin(self, *, is_first: bool) -> None:
        if is_first:
            self._bdseq = last_bdseq(self._stream.state)
        self._tell_facts()

    def _tell_facts(self) -> None:
        """Let the edge node's own metrics say which log this is; what was counted stays."""
        counted = {IGNORED: 0, REFUSED: 0}
        kinds: dict[str, tuple[DataType, Any]] = {
            "Ledger/Log": (DataType.STRING, self._stream.log_id),
            "Ledger/Incarnation": (DataType.UINT64, self._stream.incarnation),
            GAP: (DataType.STRING, None),
            **{name: (DataType.UINT64, count) for name, count in counted.items()},
            REFUSAL: (DataType.STRING, None),
            "Properties/Version": (DataType.STRING, version("tidegate")),
            "Properties/Boot": (DataType.STRING, self._gateway.boot),
        }
        for name, (kind, value) in kinds.items():
            if name not in self._facts or name.startswith("Ledger/"):
                self._facts[name] = Fact(name, self._delivery.catalogue.alias(name), kind, value)

    # ---- one connection

    async def _will(self) -> Will:
        payload = self._delivery.payloads.ndeath(await self._next_bdseq())
        self._death = Will(self._topics.node("NDEATH"), payload, is_retained=False)
        return self._death

    async def _next_bdseq(self) -> int:
        """Return the number of the next CONNECT, once the ledger has it; that may take so long that we go without."""
        if not self._is_bdseq_used and self._bdseq is not None:
            return self._bdseq
        bdseq = self._bdseq = 0 if self._bdseq is None else (self._bdseq + 1) % 256
        kept: asyncio.Future[range | None] = asyncio.get_running_loop().create_future()
        self._keep_state(BDSEQ_ROUTE, {"bdseq": bdseq}, lambda seqs: None if kept.done() else kept.set_result(seqs))
        with contextlib.suppress(TimeoutError):
            async with asyncio.timeout(DURABLE_S):
                await kept
        return bdseq

    def _hears(self, link: Connection, crew: Crew) -> Callable[[MQTTMessage], None]:  # noqa: ARG002 - as all have it
        commands = Commands(
            self._topics, self._delivery.catalogue, self._facts, does=self._gateway.does,
            rebirth=self._delivery.ask_rebirth, spawn=crew.spawn,
        )  # fmt: skip
        return lambda message: _take(commands, message)

    async def _greet(self, link: Connection, crew: Crew) -> None:  # noqa: ARG002 - as all have it
        assert self._bdseq is not None
        link.subscribe(self._topics.subscriptions)
        await self._delivery.begin(link, self._bdseq)

    def _farewell(self, link: Connection) -> None:
        """Die in order: who sends DISCONNECT has no will any more, so the death goes out before it."""
        link.publish(self._death.topic, self._death.payload)

    def _over(self, link: Connection) -> None:
        self._is_bdseq_used = link.is_introduced


def last_bdseq(state: State) -> int | None:
    """Return the number of the last CONNECT that a ledger knows of; None: it knows of none."""
    latest = state.latest("state").get(BDSEQ_ROUTE)
    try:
        told = None if latest is None else latest.body["bdseq"]
    except (KeyError, TypeError, ValueError):
        return None
    return told if isinstance(told, int) and 0 <= told <= 255 else None


def _take(commands: Commands, message: MQTTMessage) -> None:
    with contextlib.suppress(UnicodeDecodeError):  # of a topic that no subscription of ours can be meant by
        commands.take(message.topic, bytes(message.payload), is_retained=message.retain, is_again=message.dup)
