"""Layer 7: every sink of one gateway, over one stream. What a sink needs is imported only where it is configured."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any, Protocol

from gateway.api.follow.following import Following
from gateway.config import SiteConfig
from gateway.registry import require
from gateway.runtime.batch import Batch
from gateway.runtime.crew import Crew, keep
from gateway.runtime.recorder import Recorder
from gateway.sinks.surroundings import Surroundings


class Sink(Protocol):
    """What follows the ledger and tells somebody of it."""

    @property
    def name(self) -> str:
        """Return the word for it in `status`, and of its cursor in the ledger."""
        ...

    def status(self) -> dict[str, Any]:
        """Return its entry of `sinks` in `status --json`."""
        ...

    async def run(self) -> None:
        """Work until cancelled."""
        ...


class Sinks:
    """One per gateway."""

    def __init__(
        self,
        site: SiteConfig,
        folder: Path | None,
        around: Surroundings,
        recorder: Recorder | None,
        following: Following | None,
    ) -> None:
        """Make those that the site names. Raises: DriverError where a library is missing."""
        self._sinks: list[Sink] = []
        if site.mqtt is None or recorder is None or following is None:
            return
        require("paho.mqtt", "mqtt")
        from gateway.sinks.mqtt.make import make

        def save(consumer: str, seq: int, incarnation: int) -> None:
            body = {"consumer": consumer, "seq": seq, "incarnation": incarnation}
            recorder.committer.put(Batch("cursor", None, [body], "state"))

        self._sinks.append(make(site.mqtt, folder, around, save, stream=following.stream, history=following.history()))
        if site.mqtt.sparkplug is not None:
            require("google.protobuf", "sparkplug")
            from gateway.sinks.sparkplug.make import make as make_sparkplug

            def save_state(route: str, body: dict[str, Any], on_settled: Callable[[range | None], None]) -> None:
                recorder.committer.put(Batch("state", route, [body], "state", on_settled=on_settled))

            sparkplug = make_sparkplug(
                site.mqtt, site.mqtt.sparkplug, folder, around,
                save=save, save_state=save_state, stream=following.stream, history=following.history(),
            )  # fmt: skip
            self._sinks.append(sparkplug)

    def status(self) -> list[dict[str, Any]]:
        """Return the part `sinks` of `status --json`."""
        return [sink.status() for sink in self._sinks]

    async def run(self) -> None:
        """Let every sink work, until cancelled. What fails in one costs that one a pause."""
        if not self._sinks:
            return
        async with Crew("sinks", 0) as crew:
            for sink in self._sinks:
                crew.start(keep(sink.name, sink.run), sink.name)
