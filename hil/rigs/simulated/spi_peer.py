"""The device on a simulated SPI bus: what it was told to answer, or one of the device models of `hil.sim.spi`."""

from __future__ import annotations

import re
from collections import deque
from collections.abc import Callable, Iterable, Mapping
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any, Final

from gateway.spelling import did_you_mean
from hil.faults.spi import UNDRIVEN
from hil.rigs.simulated.dut import SimulatedDut
from hil.rigs.simulated.world import World
from hil.sim.spi.model import SpiModel

if TYPE_CHECKING:
    from hil.peers.attach import Simulated

__tracebackhide__ = True  # pytest shows the line of the test instead

MOST_RECEIVED: Final = 65_536  # transfers that are remembered
_NS: Final = 1_000_000_000

Request = bytes | re.Pattern[bytes]
Reply = bytes | Callable[[Any], bytes]


@dataclass(eq=False, slots=True)
class Rule:
    """One request with its reply."""

    request: Request
    reply: Reply
    heard: int = 0  # how often it came

    def answer(self, tx: bytes) -> bytes | None:
        """Return what the device puts out while `tx` comes in; None: this is not what it answers to."""
        found = self.request.fullmatch(tx) if isinstance(self.request, re.Pattern) else tx
        if found is None or (isinstance(self.request, bytes) and tx != self.request):
            return None
        self.heard += 1
        return self.reply(found) if callable(self.reply) else self.reply

    def answer_in_part(self, tx: bytes) -> bytes | None:
        """Do so for a longer transfer that begins with the request, and for one that breaks off: a device goes by bits.

        None: it is neither.
        """
        if isinstance(self.request, re.Pattern) or callable(self.reply):
            return None
        if self.request.startswith(tx):
            return self.reply
        if not tx.startswith(self.request) or len(self.reply) <= len(self.request):
            return None
        self.heard += 1
        return self.reply


class SpiPeer:
    """What a test says about the device. Without power it hears nothing, and drives nothing."""

    def __init__(self, world: World, dut: SimulatedDut) -> None:
        self._world = world
        self._dut = dut
        self._rules: list[Rule] = []
        self._model: SpiModel | None = None
        self._boots = dut.boots
        dut.watchers.append(self._notice_restart)
        self.mode = 0  # the SPI mode in which the device works
        self.received: deque[bytes] = deque(maxlen=MOST_RECEIVED)  # what it heard, each time it was selected

    def simulate(
        self, profile: str | Path, values: Mapping[str, Any] | None = None, params: Mapping[str, object] | None = None
    ) -> Simulated:
        """Be the device of a profile: answer what is asked, with these values, and remember what is written.

        What this returns has `set(name, value)`, `orders`, `stop()`. Raises: ValueError.
        """
        from hil.peers.attach import Wanted, on_transfers

        return on_transfers(self, self._world, self._dut, Wanted(profile, values, params))

    def on(self, tx: Request, rx: Reply) -> Rule:
        """Let the device answer a transfer; `heard` of what this returns says how often it came.

        `tx`: all bytes of the transfer, or a pattern of them. `rx`: what is read meanwhile, filled up with 0xFF; or a
        function of `tx` (of the match, for a pattern). A longer `rx` than `tx` answers each transfer that begins with
        `tx`. The rule that was added last comes first, and all before a model. Raises: ValueError.
        """
        if isinstance(tx, re.Pattern):
            if not isinstance(tx.pattern, bytes):
                raise ValueError(f"{tx.pattern!r} is a pattern of text; write re.compile(rb'...')")  # noqa: TRY004 - one error
        else:
            tx = bytes_of(tx)
        rule = Rule(tx, rx if callable(rx) else bytes_of(rx))
        self._rules.insert(0, rule)
        return rule

    def forget(self, rule: Rule) -> None:
        """Let the device answer this no more."""
        if rule in self._rules:
            self._rules.remove(rule)

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
            model.clock = lambda: self._world.now_ns / _NS
        self.mode = mode
        self._model = model
        return model

    def exchange(self, tx: bytes) -> bytes:
        """Return what the device puts out from being selected to being released."""
        if not self._dut.is_powered:
            return bytes([UNDRIVEN]) * len(tx)
        self.received.append(tx)
        for answering in (Rule.answer, Rule.answer_in_part):
            for rule in self._rules:
                answer = answering(rule, tx)
                if answer is not None:
                    return bytes(answer[: len(tx)]).ljust(len(tx), bytes([UNDRIVEN]))
        return bytes([UNDRIVEN]) * len(tx) if self._model is None else self._model.transfer(tx)

    def _notice_restart(self) -> None:
        if self._dut.is_powered and self._dut.boots != self._boots:
            self._boots = self._dut.boots
            if self._model is not None:
                with suppress(ValueError):  # it has nothing to forget
                    self._model.restart()


def bytes_of(data: bytes | Iterable[int]) -> bytes:
    """Return bytes, given as such or as their numbers. Raises: ValueError for what is none, and for nothing."""
    try:
        given = bytes(data) if not isinstance(data, int | str) else b""
    except (TypeError, ValueError):
        given = b""
    if not given:
        raise ValueError(f"{data!r:.60}: give bytes, b'...' or bytes.fromhex('...'), at least one")
    return given
