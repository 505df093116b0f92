"""Records what a running gateway hears and sends on its ports: the client's side of its `tap`."""

from __future__ import annotations

import json
import time
from collections import Counter
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Any, Final

from gateway.errors import GatewayUnreachableError, UsageError
from gateway.runtime.doorway import connect
from hil.trace.record import VERSION, Header, Record, make, parse_record
from hil.trace.times import iso_of
from hil.trace.writer import TraceWriter

ANSWER_TIMEOUT_S: Final = 10.0
_POLL_S: Final = 0.5
_CHUNK_BYTES: Final = 262_144


class Recording:
    """A connection to a gateway whose ports are recorded. `counts`: records by bus and direction."""

    def __init__(self, folder: Path, token: str | None, devices: Sequence[str]) -> None:
        """Ask for it. Raises: GatewayUnreachableError; UsageError with what the gateway objects to."""
        self._folder = folder
        self._visitor = connect(folder)
        self._pending = b""
        self.counts: Counter[tuple[str, str]] = Counter()
        self.missed = 0
        self._last_ns = 0  # of the last record
        try:
            self.header = self._ask(token, devices)
        except BaseException:
            self._visitor.close()
            raise

    def run(self, writer: TraceWriter, duration_s: float | None) -> None:
        """Write what comes, for so long or until interrupted. Raises: GatewayUnreachableError when the gateway ends."""
        until_s = None if duration_s is None else time.monotonic() + duration_s
        while (left_s := _POLL_S if until_s is None else until_s - time.monotonic()) > 0:
            for line in self._lines(min(left_s, _POLL_S)):
                record = self._record(line)
                writer.write(record)
                self._last_ns = record.t_ns
                self.counts[record.bus, record.dir] += 1

    def close(self) -> None:
        """Leave."""
        self._visitor.close()

    def _ask(self, token: str | None, devices: Sequence[str]) -> Header:
        asked = {"request": "tap", "args": {"devices": list(devices)}, "token": token}
        try:
            self._visitor.settimeout(ANSWER_TIMEOUT_S)
            self._visitor.sendall(json.dumps(asked).encode() + b"\n")
        except OSError as error:
            raise GatewayUnreachableError(f"the gateway went away ({error.strerror or error})") from error
        first: bytes | None = None
        until_s = time.monotonic() + ANSWER_TIMEOUT_S
        while first is None and time.monotonic() < until_s:
            lines = list(self._lines(ANSWER_TIMEOUT_S))
            if lines:
                first = lines[0]
                self._pending = b"".join(line + b"\n" for line in lines[1:]) + self._pending
        if first is None:
            raise GatewayUnreachableError(f"the gateway in {self._folder} does not answer")
        answer: dict[str, Any] = json.loads(first)
        if "error" in answer:
            raise UsageError(answer["error"]["message"])
        found = answer["ok"]
        return Header(VERSION, iso_of(found["wall_ns"]), 0, found["buses"])

    def _record(self, line: bytes) -> Record:
        told: dict[str, Any] = json.loads(line)
        if "dropped" not in told:
            return parse_record(line)
        self.missed += told["dropped"]
        return make(self._last_ns, "", "note", "note", text=f"{told['dropped']} records missed: too slow")

    def _lines(self, timeout_s: float) -> Iterator[bytes]:
        """Give whole lines that came, none when nothing did."""
        self._visitor.settimeout(max(timeout_s, 0.001))
        try:
            chunk = self._visitor.recv(_CHUNK_BYTES)
        except TimeoutError:
            chunk = None
        except OSError as error:
            raise GatewayUnreachableError(f"the gateway in {self._folder} went away ({error})") from error
        if chunk == b"":
            raise GatewayUnreachableError(f"the gateway in {self._folder} has ended")
        *whole, self._pending = (self._pending + (chunk or b"")).split(b"\n")
        yield from whole
