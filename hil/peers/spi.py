"""The device on an SPI bus: what it was told to answer, or one of the device models of `hil.sim.spi`."""

from __future__ import annotations

from collections import deque
from collections.abc import Callable, Mapping
from contextlib import suppress
from pathlib import Path
from typing import TYPE_CHECKING, Any, Final, NamedTuple

from gateway.spelling import did_you_mean
from hil.durations import Duration, ns
from hil.faults.spi import UNDRIVEN
from hil.peers.scripted import ScriptedPeer
from hil.peers.spi_script import Reply, Request, SpiRule, SpiScript
from hil.peers.surroundings import Board, Times
from hil.sim.spi.model import SpiModel

if TYPE_CHECKING:
    from hil.peers.attach import Simulated
    from hil.peers.playing import TracePeer
    from hil.trace import Trace

__tracebackhide__ = True  # pytest shows the line of the test instead

MOST_RECEIVED: Final = 65_536  # transfers that are remembered
_NS: Final = 1_000_000_000


class _Prepared(NamedTuple):
    """An answer that the device is still busy with."""

    ready_ns: int
    rx: bytes


class SpiPeer(ScriptedPeer[SpiRule, bytes]):
    """What a test says about the device. Without power it hears nothing, and drives nothing; booting, it answers
    nothing, but for a model, which is a chip and needs no time.
    """  # noqa: D205 - one sentence

    def __init__(self, bus: str, times: Times, board: Board, watchers: list[Callable[[], None]]) -> None:
        """Take `watchers`, which are called when the state of the board has changed."""
        self._script = SpiScript()
        super().__init__(bus, times, board, self._script)
        self._model: SpiModel | None = None
        self._prepared: _Prepared | None = None
        self._playing: TracePeer | None = None
        self.mode = 0  # the SPI mode in which the device works
        self.received: deque[bytes] = deque(maxlen=MOST_RECEIVED)  # what it heard, each time it was selected
        watchers.append(self._board_changed)

    def simulate(
        self, profile: str | Path, values: Mapping[str, Any] | None = None, params: Mapping[str, object] | None = None
    ) -> Simulated:
        """Be the device of a profile: answer what is asked, with these values, and remember what is written.

        What this returns has `set(name, value)`, `orders`, `stop()`. Raises: ValueError.
        """
        from hil.peers.attach import Wanted, on_transfers

        return on_transfers(self, self._times, self._board, Wanted(profile, values, params))

    def on(  # noqa: PLR0917 - in the order of the sentence
        self,
        tx: Request,
        rx: Reply,
        delay: Duration = 0,
        ignore: int = 0,
        when: str | None = None,
        then: str | None = None,
    ) -> SpiRule:
        """Let the device answer a transfer; `heard` of what this returns says how often it came.

        `tx`: all bytes of the transfer, or a pattern of them. `rx`: what is read meanwhile, filled up with 0xFF; or a
        function of `tx` (of the match, for a pattern). A longer `rx` than `tx` answers each transfer that begins with
        `tx`. With `delay` the device is busy for so long and answers nothing, and `rx` is what the first transfer
        after that reads, whatever it is. The first `ignore` requests read 0xFF. `when`, `then`: only in that state,
        and into that one. The rule that was added last comes first, and all before a model. Raises: ValueError.
        """
        return self._add(SpiRule(tx, rx, ns(delay), ignore, when, then))

    def forget(self, rule: SpiRule) -> None:
        """Let the device answer this no more."""
        self._script.remove(rule)

    def model(self, model: SpiModel | str, mode: int = 0) -> Any:
        """Let a model be the device, which works in that SPI mode, and return it: one of `hil.sim.spi`, or its name.

        Raises: ValueError naming the nearest.
        """
        if isinstance(model, str):
            from hil.sim.spi.station import MODELS

            if model not in MODELS:
                raise ValueError(f"no model {model!r}{did_you_mean(model, MODELS)}; there are {', '.join(MODELS)}")
            model = MODELS[model]()
        if mode not in range(4):
            raise ValueError(f"mode = {mode!r}: SPI modes are 0 to 3")
        if hasattr(model, "clock"):
            model.clock = lambda: self._times.now_ns / _NS
        self.mode = mode
        self._model = model
        return model

    def play(
        self, trace: Trace | str | Path, bus: str | None = None, order: str = "strict", speed: object = 1
    ) -> TracePeer:
        """Let the device answer as it did in a trace, from now on; `diverged` of what this returns is None, or where.

        As long as that is not stopped, nothing else answers. `order`: "strict" as it was, or "matched", each transfer
        once, whatever the order; `speed` matters to how long a transfer is waited for. `trace`: a file, or what
        `hil.trace.read` gives. Raises: ValueError, TraceError.
        """
        from hil.peers.playing import trace_peer

        at, around = (self._bus_name, "spi"), (self._times, self._board)
        self._playing = playing = trace_peer(trace, bus, order, speed, at, around, lambda _: False)
        playing.begin()
        return playing

    def exchange(self, tx: bytes) -> bytes:
        """Return what the device puts out from being selected to being released."""
        if not self._board.is_powered:
            return bytes([UNDRIVEN]) * len(tx)
        self._notice_restart()
        self.received.append(tx)
        self._tell(tx)
        return self._answer(tx)[: len(tx)].ljust(len(tx), bytes([UNDRIVEN]))

    def _answer(self, tx: bytes) -> bytes:
        """Return what it drives, from the first bit on."""
        if self._playing is not None and not self._playing.is_stopped:
            return _played(self._playing, tx)
        if self._prepared is not None:
            ready_ns, rx = self._prepared
            if self._times.now_ns < ready_ns:
                return b""
            self._prepared = None
            return rx
        known = self._script.hear(tx) if self._board.is_answering else None
        if known is None:
            return b"" if self._model is None else self._told("model", self._model.transfer, tx) or b""
        rule, found, is_answered = known
        if not is_answered:
            return b""
        rx = self._told(f"reply to {rule.request!r:.60}", rule.answer, found) or b""
        if not rule.delay_ns:
            return rx
        self._prepared = _Prepared(self._times.now_ns + rule.delay_ns, rx)
        return b""

    def _notice_restart(self) -> bool:
        has_restarted = super()._notice_restart()
        if has_restarted:
            self._prepared = None
            if self._model is not None:
                with suppress(ValueError):  # it has nothing to forget
                    self._model.restart()
        return has_restarted

    def _board_changed(self) -> None:
        """A model restarts when its power comes, not when somebody looks."""
        if self._board.is_powered:
            self._notice_restart()


def _played(trace: TracePeer, tx: bytes) -> bytes:
    """Return what a trace has for a transfer; nothing where it has none, or no bytes."""
    record = trace.hear("transfer", tx)
    if record is None:
        return b""
    try:
        return bytes.fromhex(record.get("rx", ""))
    except (ValueError, TypeError):
        trace.skip(record.kind)
        return b""
