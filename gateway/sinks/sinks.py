"""Layer 7: every sink of one gateway, over one stream. What a sink needs is imported only where it is configured."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Any

from gateway.api.follow.following import Following
from gateway.config import SiteConfig
from gateway.registry import require
from gateway.runtime.batch import Batch
from gateway.runtime.crew import Crew, keep
from gateway.runtime.recorder import Recorder
from gateway.sinks.surroundings import Surroundings

if TYPE_CHECKING:
    from gateway.sinks.mqtt.sink import MqttSink


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
        self._sinks: list[MqttSink] = []
        if site.mqtt is None or recorder is None or following is None:
            return
        require("paho.mqtt", "mqtt")
        from gateway.sinks.mqtt.make import make

        def save(consumer: str, seq: int, incarnation: int) -> None:
            body = {"consumer": consumer, "seq": seq, "incarnation": incarnation}
            recorder.committer.put(Batch("cursor", None, [body], "state"))

        self._sinks.append(make(site.mqtt, folder, around, save, stream=following.stream, history=following.history()))

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


def unused_keys(site: SiteConfig) -> list[str]:
    """Return what of the site this version reads and checks, and does not act on."""
    keys = ("sparkplug",)
    return [f"mqtt.{key}" for key in keys if site.mqtt is not None and getattr(site.mqtt, key)]
