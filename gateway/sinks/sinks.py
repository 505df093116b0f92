"""Layer 7: every sink of one gateway, over one stream. What a sink needs is imported only where it is configured."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from pathlib import Path
from typing import TYPE_CHECKING, Any, Final

from gateway.config import SiteConfig
from gateway.profile.recorded import Transforms
from gateway.registry import require
from gateway.runtime.batch import Batch
from gateway.runtime.crew import Crew, keep
from gateway.runtime.recorder import Recorder
from gateway.sinks.decoder import Decoder
from gateway.sinks.history import History
from gateway.sinks.stream import Stream
from gateway.sinks.surroundings import Surroundings

if TYPE_CHECKING:
    from gateway.sinks.mqtt.sink import MqttSink

NUMBERED_AFTER_S: Final = 0.002  # telemetry gets its number, and leaves, so late; without a sink a quarter of a second


class Sinks:
    """One per gateway."""

    def __init__(
        self,
        site: SiteConfig,
        folder: Path | None,
        around: Surroundings,
        recorder: Recorder | None,
        *,
        transforms: Transforms,
    ) -> None:
        """Make those that the site names. Raises: DriverError where a library is missing."""
        self._sinks: list[MqttSink] = []
        self._stream: Stream | None = None
        if site.mqtt is None or recorder is None:
            return
        require("paho.mqtt", "mqtt")
        from gateway.sinks.mqtt.make import make

        def decoder() -> Decoder:
            return Decoder(_streams_of(around), _units_of(around), transforms)

        def save(consumer: str, seq: int, incarnation: int) -> None:
            body = {"consumer": consumer, "seq": seq, "incarnation": incarnation}
            recorder.committer.put(Batch("cursor", None, [body], "state"))

        self._stream = stream = Stream(decoder(), around.clock)
        recorder.lead(stream, NUMBERED_AFTER_S)
        history = History(recorder.open_to_read, decoder())
        self._sinks.append(make(site.mqtt, folder, around, save, stream=stream, history=history))

    def status(self) -> list[dict[str, Any]]:
        """Return the part `sinks` of `status --json`."""
        return [sink.status() for sink in self._sinks]

    async def run(self) -> None:
        """Let every sink work, until cancelled. What fails in one costs that one a pause."""
        if self._stream is None:
            return
        async with Crew("sinks", 0) as crew:
            crew.start(keep("stream", self._stream.run), "stream")
            for sink in self._sinks:
                crew.start(keep(sink.name, sink.run), sink.name)


def unused_keys(site: SiteConfig) -> list[str]:
    """Return what of the site this version reads and checks, and does not act on."""
    keys = ("home_assistant", "sparkplug")
    tables = [] if site.http is None else ["http"]
    return tables + [f"mqtt.{key}" for key in keys if site.mqtt is not None and getattr(site.mqtt, key)]


def _streams_of(around: Surroundings) -> Callable[[str, str], Mapping[str, str] | None]:
    """Return how routes of a device's messages are spelled where it is wired now."""

    def streams_of(device: str, message: str) -> Mapping[str, str] | None:
        for each in around.devices():
            for known in each.all_messages() if each.name == device else ():
                if known.name == message:
                    return dict(zip(known.plan.names, known.streams, strict=True))
        return None

    return streams_of


def _units_of(around: Surroundings) -> Callable[[str], str]:
    """Return the unit of a setpoint's value, by the route of its desired value."""

    def units_of(route: str) -> str:
        twin = around.commands.twins.get(route.partition("/")[0])
        names = [] if twin is None else [name for name in twin.setpoints if twin.route(name) == route]
        return twin.units(names[0]) if twin is not None and names else "1"

    return units_of
