"""The board's side of a serial line, played by a second adapter that is wired to it."""

from __future__ import annotations

import re
import threading
from collections.abc import Iterable

from hil.durations import Duration, ns
from hil.rigs.base import RigError
from hil.rigs.bench.serial_wire import SerialWire
from hil.rigs.model import ResourceSpec
from hil.rigs.simulated.uart_peer import MOST_RECEIVED, bytes_of
from hil.rigs.simulated.uart_script import Answer, Request, Rule, Script

__tracebackhide__ = True  # pytest shows the line of the test instead


class BenchUartPeer:
    """Answers what it was told to answer, and speaks when a test lets it: as the simulated one, on a real line."""

    def __init__(self, name: str, spec: ResourceSpec) -> None:
        assert spec.peer is not None
        self.wire = SerialWire(name, spec.peer, spec.link(), self._received)
        self._script = Script()
        self._heard = bytearray()
        self._lock = threading.Lock()
        self._timers: list[threading.Timer] = []

    @property
    def received(self) -> bytes:
        """All that it heard in this test, the last 1 MiB of it."""
        with self._lock:
            return bytes(self._heard)

    @property
    def state(self) -> str:
        """The state of its script."""
        return self._script.state

    @state.setter
    def state(self, state: str) -> None:
        self._script.state = state

    def send(self, data: bytes, errors: Iterable[str] = ()) -> None:
        """Speak as the board. Raises: ValueError for line errors but `break`, which no adapter sends; RigLostError."""
        flags = tuple(errors)
        strange = [flag for flag in flags if flag != "break"]
        if strange:
            raise ValueError(f"an adapter cannot send {', '.join(strange)} errors; on a bench only 'break'")
        self.wire.write(bytes_of(data))
        if flags:
            self.wire.send_break()

    def on(  # noqa: PLR0917 - in the order of the sentence
        self,
        request: Request,
        reply: bytes | bytearray | Answer | None,
        delay: Duration = 0,
        ignore: int = 0,
        when: str | None = None,
        then: str | None = None,
    ) -> Rule:
        """Answer a request, as the simulated peer does. Raises: ValueError."""
        rule = Rule(request, reply, ns(delay), ignore, when, then)
        with self._lock:
            self._script.add(rule)
        return rule

    def forget(self, rule: Rule) -> None:
        """Answer this no more."""
        with self._lock:
            self._script.remove(rule)

    def end(self) -> None:
        """Forget everything: the test is over."""
        with self._lock:
            self._script = Script()
            self._heard.clear()
            for timer in self._timers:
                timer.cancel()
            self._timers.clear()

    def _received(self, data: bytes, _stamp_ns: int, _errors: tuple[str, ...]) -> None:
        with self._lock:
            self._heard += data
            del self._heard[:-MOST_RECEIVED]
            for rule, request in self._script.hear(data):
                self._answer(rule, request)

    def _answer(self, rule: Rule, request: bytes | re.Match[bytes]) -> None:
        reply = rule.reply(request) if callable(rule.reply) else rule.reply
        if not reply:
            return
        if not rule.delay_ns:
            self._say(bytes(reply))
            return
        timer = threading.Timer(rule.delay_ns / 1e9, self._say, (bytes(reply),))
        timer.daemon = True
        self._timers = [each for each in self._timers if each.is_alive()]
        self._timers.append(timer)
        timer.start()

    def _say(self, reply: bytes) -> None:
        try:
            self.wire.write(reply)
        except RigError as error:
            self.wire.lose(str(error))
