"""Layer 6: the latest values of an earlier run, from the ledger into the latest-value table. No I/O here.

They come back before any driver opens, with their own times: stale until the device speaks, however young the wall
clock makes them look.
"""

from __future__ import annotations

import logging
from collections.abc import Iterable, Mapping
from typing import Any, Final

from gateway.errors import RecordError
from gateway.ledger.fold import Latest, State
from gateway.ledger.reading import Reading, decode_reading
from gateway.lifecycle import Event, Target
from gateway.profile.recorded import Recorded, Schemas, Transforms
from gateway.runtime.device import Device
from gateway.runtime.message import Message
from gateway.runtime.parting import known_from
from gateway.runtime.recording import Recording
from gateway.schema.plan import MessagePlan, Refused, Row

CHANGED: Final = "as before the configuration was changed"

log = logging.getLogger(__name__)


class Remembered:
    """What the ledger knew of devices when it was opened."""

    def __init__(self, state: State, transforms: Transforms | None = None) -> None:
        """Take the folded state; `transforms` are those that plugins bring."""
        self._readings: dict[str, Latest] = dict(state.latest("reading"))
        self._digests: dict[str, str] = {}
        self._profiles = {route: _digest_of(latest.body) for route, latest in state.latest("profile").items()}
        found = (known_from(latest.raw, latest.seq) for latest in state.latest("lifecycle").values())
        self.discovered = [known for known in found if known is not None]  # the one that was quiet longest first
        self._forget_readings({known.name for known in self.discovered if known.seq})
        self._transforms = transforms
        self._schemas = Schemas(transforms)
        self.boots = state.boots  # runs that the ledger saw
        self._boots = _boot_of(state)
        for route, latest in state.latest("schema").items():
            body = latest.body
            if isinstance(body, dict):
                self._schemas.learn(body)
                self._digests[route] = str(body.get("digest"))

    def has_schema(self, route: str, digest: bytes) -> bool:
        """Return whether that is the layout which the ledger knows for a route."""
        return self._digests.get(route) == digest.hex()

    def has_profile(self, route: str, digest: str) -> bool:
        """Return whether that is the profile which the ledger knows for a device."""
        return self._profiles.get(route) == digest

    def forget(self, recordings: Iterable[Recording]) -> None:
        """Let go of what another device left that was called the same."""
        for recording in recordings:
            self._readings.pop(recording.route, None)

    def restore(self, recordings: Iterable[Recording], now_ns: int, wall_ns: int, started_ns: int) -> None:
        """Give one device its latest values. Times are now's: monotonic, wall, monotonic of our start."""
        found = [
            (recording, reading, latest)
            for recording in recordings
            if (latest := self._readings.get(recording.route)) is not None
            and (reading := _reading_of(recording.message, latest)) is not None
        ]
        payloads = {recording.message.name: reading.payload for recording, reading, _ in found}
        for recording, reading, latest in found:
            row = self._row_of(recording, reading, payloads)
            if row is None:
                continue
            message = recording.message
            age_ns = max(wall_ns - reading.wall_ns, now_ns - started_ns)
            runtime = self._boots.get(latest.boot_no, f"boot {latest.boot_no}")
            message.restore(row, reading.sequence, reading.wall_ns, now_ns - age_ns, runtime)

    def _forget_readings(self, owners: set[str]) -> None:
        """Let go of what devices said whose values lie elsewhere."""
        if owners:
            self._readings = {
                route: latest for route, latest in self._readings.items() if route.partition("/")[0] not in owners
            }

    def _row_of(self, recording: Recording, reading: Reading, payloads: Mapping[str, bytes]) -> Row | None:
        """Return the row that a payload makes, by the layout of its time and in the places of today's."""
        message = recording.message
        try:
            if recording.schema.key == reading.schema and not recording.layout.needs:
                row = message.decode(reading.payload)
            elif recording.schema.key == reading.schema:
                row = Recorded(recording.layout, self._transforms).row(reading.payload, payloads)
            else:
                recorded = self._schemas.recorded(reading.schema)
                row = _moved(recorded.row(reading.payload, payloads), recorded.plan, message.plan)
        except (RecordError, Refused) as error:
            log.warning("%s/%s: the latest value does not come back: %s", message.device, message.name, error)
            return None
        return (*row[:-1], row[-1] | reading.taints)


def hand_over(before: Device, after: Device) -> None:
    """Let a device go on with the latest values and numbers of the one that it takes the place of.

    One that somebody had quiesced or detached stays so.
    """
    if not before.is_wanted:
        after.aim(before.lifecycle.target)
        after.happened(Event.QUIESCE if before.lifecycle.target is Target.QUIESCED else Event.CLOSED, CHANGED)
    for name, message in after.messages.items():
        old = before.messages.get(name)
        if old is None or old.row is None or message.row is not None or old.family != message.family:
            continue
        row = _moved(old.row, old.plan, message.plan)
        message.restore(row, old.sequence, old.wall_ns, old.received_ns, old.runtime)


def _digest_of(body: Any) -> str | None:
    return str(body.get("digest")) if isinstance(body, dict) else None


def _reading_of(message: Message, latest: Latest) -> Reading | None:
    try:
        return decode_reading(latest.raw)
    except RecordError as error:
        log.warning("%s/%s: the latest value does not come back: %s", message.device, message.name, error)
        return None


def _moved(row: Row, then: MessagePlan, now: MessagePlan) -> Row:
    """Return a row in the places of another plan; a value of another unit, or that was not there, is null."""
    units = dict(zip(then.names, then.units, strict=True))
    values = dict(zip(then.names, row, strict=False))
    return (
        *[
            values[name] if name in values and units[name] == unit else None
            for name, unit in zip(now.names, now.units, strict=True)
        ],
        row[-1],
    )


def _boot_of(state: State) -> dict[int, str]:
    """Return the boot id of the run that wrote last, by its number."""
    if state.boot is None:
        return {}
    body = state.boot.body
    return {state.boot.boot_no: str(body["boot"])} if isinstance(body, dict) and "boot" in body else {}
