"""Watches over one CAN bus while its port is open: says when its state changes, brings it back from bus-off."""

from __future__ import annotations

import asyncio
import errno
import logging
from typing import Any, Final, Protocol

from drivers._can_bus import Announcer, BusAccount, RestartDelays
from drivers._can_errors import BUS_OFF, ERROR_ACTIVE, OVERFLOW, UNKNOWN, read_error
from drivers._can_netlink import LinkFacts
from gateway.clock import Clock

LOOK_S: Final = 1.0  # error frames can get lost in an overload: then, and in bus-off, the kernel is asked

log = logging.getLogger(__name__)


class Controller(Protocol):
    """Who knows a controller and can restart it, as `_can_netlink.Interface`. All raise OSError when it is gone."""

    name: str

    def facts(self) -> LinkFacts:
        """Return its state now."""
        ...

    def can_restart(self) -> bool:
        """Whether it may be asked to."""
        ...

    def restart(self) -> None:
        """Bring it back from bus-off."""
        ...


class BusWatch:
    """One bus, from `begin` to `end`, as its port is open. Without a controller to ask, error frames tell all."""

    def __init__(self, port: str, clock: Clock, controller: Controller | None = None) -> None:
        self._port = port
        self._clock = clock
        self._controller = controller
        self._account = BusAccount()
        self._announcer = Announcer()
        self._delays = RestartDelays()
        self._is_refused = False
        self._is_open = False
        self._say_timer: asyncio.TimerHandle | None = None
        self._look_timer: asyncio.TimerHandle | None = None
        self.is_listen_only = False
        self._has_carrier = True

    @property
    def is_off(self) -> bool:
        """Whether the controller takes no part in the bus."""
        return self._account.state == BUS_OFF

    @property
    def is_mute(self) -> bool:
        """Whether what is sent now would be lost: the kernel takes frames all the same."""
        return self.is_off or not self._has_carrier

    def begin(self, bitrate: int | None = None) -> None:
        """Learn how things are; `bitrate` is what the port was asked for. Needs a running loop, as all that follows."""
        self._is_open, self._is_refused = True, False
        facts = self._facts()
        if facts is None:
            return
        self.is_listen_only, self._has_carrier = facts.is_listen_only, facts.has_carrier
        if facts.counters is not None:
            self._account.counters = facts.counters
        if bitrate and facts.bitrate and bitrate != facts.bitrate:
            log.warning(
                "bitrate differs: port=%s interface=%d wanted=%d; set it with: sudo ip link set %s down; "
                "sudo ip link set %s up type can bitrate %d",
                *(self._port, facts.bitrate, bitrate, self._interface, self._interface, bitrate),
            )
        if facts.state is not None:
            self._turn(facts.state)

    def end(self) -> None:
        """Stop watching; the state is unknown from here on."""
        self._is_open = False
        for timer in (self._say_timer, self._look_timer):
            if timer is not None:
                timer.cancel()
        self._say_timer = self._look_timer = None
        self._account.turn(UNKNOWN, self._clock.monotonic_ns())

    def hear(self, can_id: int, data: bytes) -> bool:
        """Take an error frame; return whether it tells of a frame that the controller lost."""
        report = read_error(can_id, data)
        if self._account.hear(report, self._clock.monotonic_ns()):
            self._turned()
        return OVERFLOW in report.kinds

    def hear_data(self) -> None:
        """A data frame came behind a bus-off: the bus is back, unless the kernel knows better."""
        facts = self._facts()
        self._turn(ERROR_ACTIVE if facts is None or facts.state is None else facts.state)

    def doubt(self) -> None:
        """Frames were lost, perhaps error frames: ask the kernel soon."""
        if self._look_timer is None and self._controller is not None and self._is_open:
            self._look_timer = asyncio.get_running_loop().call_later(LOOK_S, self._look)

    def why_stuck(self) -> tuple[str, str]:
        """Return why frames do not leave: a word to count it by, and what to do about it."""
        if self.is_off:
            return "bus-off", self._why_off()
        if self.is_mute:
            again = f"sudo ip link set {self._interface} down; sudo ip link set {self._interface} up"
            return "no-carrier", f"its driver did not come back from bus-off and drops what is sent: {again}"
        if self._account.is_unacknowledged(self._clock.monotonic_ns()):
            return "no-ack", (
                "nobody on the bus acknowledges; check that another node is powered, both ends are terminated and the "
                "bit rates are equal"
            )
        more = f"; for longer bursts: sudo ip link set {self._interface} txqueuelen 1000" if self._controller else ""
        return "queue-full", f"its queue stayed full{more}"

    def health(self) -> dict[str, Any]:
        """Return the facts for `status`, with the kernel's own where it has them."""
        facts = self._facts()
        if facts is not None and facts.state is not None and self._is_open:
            self._turn(facts.state)
        found = self._account.as_json(self._clock.monotonic_ns())
        if facts is not None:
            if facts.counters is not None:
                found["tx_errors"], found["rx_errors"] = facts.counters
            found |= {"bitrate": facts.bitrate, "restart_ms": facts.restart_ms, "interface": facts.losses}
        return found

    # ---- the rest is for the loop

    @property
    def _interface(self) -> str:
        return self._port if self._controller is None else self._controller.name

    def _facts(self) -> LinkFacts | None:
        try:
            return self._controller.facts() if self._controller is not None else None
        except OSError:  # it is gone; the port will learn it from its socket
            return None

    def _turn(self, state: str) -> None:
        if self._account.turn(state, self._clock.monotonic_ns()):
            self._turned()

    def _turned(self) -> None:
        facts = self._facts()
        self._has_carrier = facts is None or facts.has_carrier
        self._announce()
        if self.is_off:
            self._look_again()

    def _announce(self) -> None:
        if self._say_timer is not None:
            self._say_timer.cancel()
            self._say_timer = None
        now_ns, state = self._clock.monotonic_ns(), self._account.state
        wait_ns = self._announcer.wait_ns(state, now_ns)
        if wait_ns is None:
            return
        if wait_ns:
            self._say_timer = asyncio.get_running_loop().call_later(wait_ns / 1e9, self._announce)
            return
        before, is_worse = self._announcer.say(state, now_ns)
        log.log(
            logging.WARNING if is_worse else logging.INFO,
            "bus state: port=%s now=%s before=%s counters=%s errors=%s",
            *(self._port, state, before, self._account.counters, self._account.errors),
        )

    def _look_again(self) -> None:
        """Look after a bus that is off in a while, which is when it may be restarted."""
        if self._controller is None:
            return
        if self._look_timer is not None:
            self._look_timer.cancel()
        wait_s = self._delays.next_s(self._clock.monotonic_ns()) if self._may_restart() else LOOK_S
        self._look_timer = asyncio.get_running_loop().call_later(wait_s, self._look)

    def _look(self) -> None:
        self._look_timer = None
        was_off, facts = self.is_off, self._facts()
        if facts is not None and facts.state is not None:
            self._turn(facts.state)
        if not self.is_off or not was_off:  # off since a moment ago: its wait has begun
            return
        if self._may_restart():
            self._restart()
        self._look_again()

    def _may_restart(self) -> bool:
        """Whether nobody but us will restart the controller."""
        facts = self._facts()
        if self._controller is None or self._is_refused or facts is None:
            return False
        return facts.restart_ms == 0 and self._controller.can_restart()

    def _restart(self) -> None:
        """Ask in a thread: a driver may speak to its adapter meanwhile."""
        assert self._controller is not None
        asking = asyncio.get_running_loop().run_in_executor(None, self._controller.restart)
        asking.add_done_callback(self._restarted)

    def _restarted(self, asking: asyncio.Future[None]) -> None:
        error = None if asking.cancelled() else asking.exception()
        if error is None:
            log.info("bus restarted: port=%s", self._port)
        elif not isinstance(error, OSError) or error.errno != errno.EBUSY:  # busy: it came back by itself
            self._is_refused = True
            log.warning(
                "bus restart refused: port=%s reason=%s; run: sudo ip link set %s type can restart",
                *(self._port, error, self._interface),
            )

    def _why_off(self) -> str:
        facts, name = self._facts(), self._interface
        why = "bus-off: its controller left the bus after too many errors; check wiring, termination and bit rate, "
        if self._controller is None:
            return f"{why}then open it again"
        if facts is not None and facts.restart_ms:
            return f"{why}the kernel restarts it every {facts.restart_ms} ms"
        if self._may_restart():
            return f"{why}it is being restarted"
        if self._controller.can_restart():
            return f"{why}then: sudo ip link set {name} type can restart"
        return f"{why}then: sudo ip link set {name} down; sudo ip link set {name} up"
