"""The device's side of a UART: it answers what it was told to answer, and speaks when a test lets it."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping
from pathlib import Path
from typing import TYPE_CHECKING, Any, Final, Protocol

from gateway.spelling import did_you_mean
from hil.data import bytes_of
from hil.durations import Duration, ns
from hil.peers.scripted import ScriptedPeer
from hil.peers.surroundings import Board, Times
from hil.peers.uart_script import Found, Reply, Request, UartRule, UartScript
from hil.uart_bits import BREAK, FRAMING, PARITY

if TYPE_CHECKING:
    from hil.peers.attach import Simulated
    from hil.peers.playing import TracePeer
    from hil.trace import Record, Trace

__tracebackhide__ = True  # pytest shows the line of the test instead

FLAGS: Final = (BREAK, FRAMING, "overrun", PARITY)
MOST_RECEIVED: Final = 1 << 20  # bytes


class Port(Protocol):
    """The host's side, as the device needs it."""

    @property
    def name(self) -> str:
        """The bus's."""

    def settle(self) -> None:
        """Let what is on the wire arrive."""

    def hear_device(self, data: bytes, errors: tuple[str, ...], *, is_recorded: bool = False) -> None:
        """Take what the device sends; `is_recorded`: it has been on the wire already."""

    def watch(self, left: Callable[[bytes], object]) -> Callable[[], None]:
        """Call `left` with what the host sends, when its first bit leaves; return what ends it."""


class UartPeer(ScriptedPeer[UartRule, bytes]):
    """What a test says about the device. Without power it hears and says nothing; booting, it answers nothing."""

    def __init__(self, port: Port, times: Times, board: Board) -> None:
        self._script = UartScript()
        super().__init__(port.name, times, board, self._script)
        self._port = port
        self._received = bytearray()

    @property
    def received(self) -> bytes:
        """All that the device heard, the last 1 MiB of it; what is on the wire arrives first."""
        self._port.settle()
        return bytes(self._received)

    def send(self, data: bytes, errors: Iterable[str] = ()) -> None:
        """Let the device send; time does not pass by that.

        `errors`: flags that the host's receiver counts with it, each as often as it stands there; a text is one flag.
        Raises: ValueError for a flag that is none.
        """
        flags = (errors,) if isinstance(errors, str) else tuple(sorted(errors, key=str))
        for flag in flags:
            if flag not in FLAGS:
                raise ValueError(f"no error flag {flag!r}{did_you_mean(flag, FLAGS)}; there are {', '.join(FLAGS)}")
        raw = bytes_of(data)
        if self._board.is_powered:
            self._port.hear_device(raw, flags)

    def on(  # noqa: PLR0917 - in the order of the sentence
        self,
        request: Request,
        reply: Reply,
        delay: Duration = 0,
        ignore: int = 0,
        when: str | None = None,
        then: str | None = None,
    ) -> UartRule:
        """Let the device answer a request; `heard` of what this returns says how often it came.

        `request`: bytes, or a pattern of them; `reply`: bytes, or a function of the request (of the match, for a
        pattern). It comes `delay` later; the first `ignore` requests get none. `when`, `then`: only in that state,
        and into that one. The rule that was added last comes first. Raises: ValueError.
        """
        return self._add(UartRule(request, reply, ns(delay), ignore, when, then))

    def forget(self, rule: UartRule) -> None:
        """Let the device answer this no more."""
        self._script.remove(rule)

    def every(self, interval: Duration, data: bytes | Callable[[], bytes]) -> Callable[[], None]:
        """Let the device send at this interval, the first time after one; return what ends it. Raises: ValueError."""
        return self._each(interval, lambda: self.send(data() if callable(data) else data))

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

        return on_stream(self, self._times, self._board, Wanted(profile, values, params, period))

    def play(
        self, trace: Trace | str | Path, bus: str | None = None, order: str = "strict", speed: object = 1
    ) -> TracePeer:
        """Let the device do what it did in a trace, from now on; `diverged` of what this returns is None, or where.

        `order`: "strict" as it was, or "matched", each request with its replies; `speed`: 1, "2x", or "max" for at
        once. `trace`: a file, also of another format, or what `hil.trace.read` gives. Raises: ValueError, TraceError.
        """
        from hil.peers.playing import trace_peer

        def say(record: Record) -> bool:
            self._port.hear_device(record.payload, tuple(record.get("errors", ())), is_recorded=True)
            return True

        at, around = (self._bus_name, "uart"), (self._times, self._board)
        playing = trace_peer(trace, bus, order, speed, at, around, say)
        playing.settle = self._port.settle
        playing.until = self._port.watch(lambda data: playing.hear("bytes", data))
        playing.begin()
        return playing

    def reset(self) -> None:
        """Forget everything that a test has told it, and what it heard."""
        super().reset()
        self._received.clear()

    def hear(self, data: bytes) -> None:
        """Take what the host sent, when it has arrived."""
        if not self._board.is_powered:
            return
        self._received += data
        del self._received[:-MOST_RECEIVED]
        self._notice_restart()
        self._tell(data)
        if self._board.is_answering:
            for rule, request in self._script.hear(data):
                self._answer(rule, request)

    def _answer(self, rule: UartRule, request: Found) -> None:
        reply = self._told(f"reply to {rule.request!r:.60}", rule.answer, request)
        if reply:
            self._later(rule.delay_ns, lambda: self.send(reply))
