"""The device's side of a simulated UART: it answers what it was told to answer, and speaks when a test lets it."""

from __future__ import annotations

import re
from collections.abc import Callable, Iterable, Mapping
from pathlib import Path
from typing import TYPE_CHECKING, Any, Final, Protocol

from gateway.spelling import did_you_mean
from hil.durations import Duration, ns
from hil.rigs.simulated.dut import SimulatedDut
from hil.rigs.simulated.uart_playing import Port as Playable
from hil.rigs.simulated.uart_playing import play
from hil.rigs.simulated.uart_script import Answer, Request, Rule, Script
from hil.rigs.simulated.world import Event, World
from hil.uart_bits import BREAK, FRAMING, PARITY

if TYPE_CHECKING:
    from hil.peers.attach import Simulated
    from hil.trace import Trace
    from hil.trace.player import Player

__tracebackhide__ = True  # pytest shows the line of the test instead

FLAGS: Final = (BREAK, FRAMING, "overrun", PARITY)
MOST_RECEIVED: Final = 1 << 20  # bytes


class Port(Playable, Protocol):
    """The host's side, as the device needs it."""

    def settle(self) -> None:
        """Let what is on the wire arrive."""


class Peer:
    """What a test says about the device. Without power it hears and says nothing; booting, it answers nothing."""

    def __init__(self, port: Port, world: World, dut: SimulatedDut) -> None:
        self._port = port
        self._world = world
        self._dut = dut
        self._script = Script()
        self._received = bytearray()
        self._listeners: list[Callable[[bytes], None]] = []
        self._boots = dut.boots

    @property
    def received(self) -> bytes:
        """All that the device heard, the last 1 MiB of it; what is on the wire arrives first."""
        self._port.settle()
        return bytes(self._received)

    @property
    def state(self) -> str:
        """The state of its script: at first, and after each restart, the first one that an `on` names."""
        self._notice_restart()
        return self._script.state

    @state.setter
    def state(self, state: str) -> None:
        self._notice_restart()
        self._script.state = state

    def send(self, data: bytes, errors: Iterable[str] = ()) -> None:
        """Let the device send; time does not pass by that.

        `errors`: flags that the host's receiver counts with it, each as often as it stands there; a text is one flag.
        Raises: ValueError for a flag that is none.
        """
        flags = (errors,) if isinstance(errors, str) else tuple(sorted(errors, key=str))
        for flag in flags:
            if flag not in FLAGS:
                raise ValueError(f"no error flag {flag!r}{did_you_mean(flag, FLAGS)}")
        if self._dut.is_powered:
            self._port.hear_device(bytes_of(data), flags)

    def on(  # noqa: PLR0917 - in the order of the sentence
        self,
        request: Request,
        reply: bytes | bytearray | Answer | None,
        delay: Duration = 0,
        ignore: int = 0,
        when: str | None = None,
        then: str | None = None,
    ) -> Rule:
        """Let the device answer a request; `heard` of what this returns says how often it came.

        `request`: bytes, or a pattern of them; `reply`: bytes, or a function of the request (of the match, for a
        pattern). It comes `delay` later; the first `ignore` requests get none. `when`, `then`: only in that state,
        and into that one. The rule that was added last comes first. Raises: ValueError.
        """
        rule = Rule(request, reply, ns(delay), ignore, when, then)
        self._script.add(rule)
        return rule

    def forget(self, rule: Rule) -> None:
        """Let the device answer this no more."""
        self._script.remove(rule)

    def every(self, interval: Duration, data: bytes | Callable[[], bytes]) -> Callable[[], None]:
        """Let the device send at this interval, the first time after one; return what ends it. Raises: ValueError."""
        interval_ns = ns(interval)
        if interval_ns == 0:
            raise ValueError("an interval of 0 has no end")
        coming: list[Event] = []

        def tick() -> None:
            coming[:] = [self._world.after(interval_ns, tick)]
            self.send(data() if callable(data) else data)

        coming.append(self._world.after(interval_ns, tick))
        return lambda: coming[0].cancel()  # noqa: PLW0108 - the one that comes then

    def simulate(
        self,
        profile: str | Path,
        values: Mapping[str, Any] | None = None,
        period: Duration | None = "100ms",
        params: Mapping[str, object] | None = None,
    ) -> Simulated:
        """Be the device of a profile: say its messages at this interval, answer what is asked, obey orders.

        `values` by `family/value`, `message.field` or `field`; the rest are as plain as the profile lets them be.
        What this returns has `set(name, value)`, `orders`, `say(message)`, `stop()`. Raises: ValueError.
        """
        from hil.peers.attach import Wanted, on_stream

        return on_stream(self, self._world, self._dut, Wanted(profile, values, params, period))

    def play(self, trace: Trace | str | Path, bus: str | None = None, order: str = "strict") -> Player:
        """Let the device do what it did in a trace, from now on; `diverged` of what this returns is None, or where.

        `order`: "strict" as it was, or "matched", each request with its replies. Raises: ValueError, TraceError.
        """
        return play(self._world, self._port, trace, bus, order)

    def listen(self, heard: Callable[[bytes], None]) -> Callable[[], None]:
        """Call `heard` with what the device hears, until what this returns is called."""
        self._listeners.append(heard)
        return lambda: self._listeners.remove(heard) if heard in self._listeners else None

    def hear(self, data: bytes) -> None:
        """Take what the host sent, when it has arrived."""
        if not self._dut.is_powered:
            return
        self._received += data
        del self._received[:-MOST_RECEIVED]
        self._notice_restart()
        for heard in tuple(self._listeners):
            heard(data)
        if self._dut.is_answering:
            for rule, request in self._script.hear(data):
                self._answer(rule, request)

    def _answer(self, rule: Rule, request: bytes | re.Match[bytes]) -> None:
        reply = rule.reply(request) if callable(rule.reply) else rule.reply
        if not reply:
            return
        boots = self._dut.boots

        def say() -> None:
            if self._dut.boots == boots:
                self.send(bytes(reply))

        if rule.delay_ns:
            self._world.after(rule.delay_ns, say)
        else:
            say()

    def _notice_restart(self) -> None:
        if self._dut.boots != self._boots:
            self._boots = self._dut.boots
            self._script.restart()


def bytes_of(data: object) -> bytes:
    """Return what is to be sent. Raises: ValueError for what is no bytes."""
    if not isinstance(data, bytes | bytearray | memoryview):
        raise ValueError(f"{data!r:.60} is no bytes; write b'...' or bytes.fromhex('...')")  # noqa: TRY004 - one error
    return bytes(data)
