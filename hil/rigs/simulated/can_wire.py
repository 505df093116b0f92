"""A simulated CAN bus bit time by bit time: who sends, who acknowledges, who sees an error, when the bus is free again.

A node that lost arbitration, or whose frame failed, tries again as soon as it may, without end, as controllers do. Only
after `PATIENCE` failures of one frame does this model look at it no oftener than every 10 ms.

Two nodes that begin with one id in the same instant do not collide: one goes first. Only the fault `id_collision`
brings that about, so that a test which uses an id in both directions need not care.
"""

from __future__ import annotations

from collections import deque
from collections.abc import Callable
from dataclasses import dataclass
from typing import Final, NamedTuple

from hil.can_bits import AFTER_ACK_BITS, INTERMISSION_BITS, arbitration_of, bits_of
from hil.can_confinement import Controller, Recovery, State
from hil.can_frames import Frame, Report
from hil.rigs.agenda import Event
from hil.rigs.simulated.world import World

NOMINAL_NS: Final = 2_000  # a bit at 500 kbit/s
FAST_NS: Final = 500  # in the data phase of an FD frame, 2 Mbit/s
ERROR_BITS: Final = 6 + 6 + 8 + INTERMISSION_BITS  # one's error flag, the others' behind it, the delimiter
SUSPENSION_BITS: Final = 8  # for which a passive node lets others go first, once it has sent
GARBLED_BITS: Final = 12  # until a receiver at another bit rate is sure to see a violation
HEAD_BITS: Final = 19  # of a standard frame in front of its data
PATIENCE: Final = 256  # failures of one frame
PATIENT_NS: Final = 10_000_000


@dataclass(eq=False, slots=True)
class Node:
    """One controller on the bus."""

    side: str
    """Nodes of one side are one device: they do not hear each other."""
    is_on: Callable[[], bool]
    """Whether it has power and is plugged in."""
    sent: Callable[[Frame], None]
    heard: Callable[[Frame], None] | None
    """None: it only sends, beside another node of its side."""
    told: Callable[[Report], None]
    """Called with what its controller reports: errors, and changes of its state."""
    controller: Controller
    queue: deque[Frame]
    failures: int = 0
    not_before_ns: int = 0
    state: State = "active"
    recovery: Recovery | None = None

    def can_hear(self) -> bool:
        """Whether it takes part in the bus."""
        return not self.controller.is_off and self.is_on()

    def note(self, violation: str = "", *, is_sending: bool = False, is_restarted: bool = False) -> None:
        """Report an error, a change of state, or nothing, where there is none."""
        state = self.controller.state
        is_changed = state != self.state
        self.state = state
        if violation or is_changed or is_restarted:
            self.told(Report(violation, is_sending, state if is_changed or is_restarted else None, is_restarted))


class Verdict(NamedTuple):
    """What is done to one attempt to send."""

    frame: Frame
    is_acked: bool = True
    rival: tuple[Node, Frame] | None = None  # sends at the same time, once


@dataclass(eq=False, slots=True)
class _Attempt:
    """A frame on the wire."""

    node: Node
    frame: Frame
    hearers: list[Node]
    is_acked: bool
    begun_ns: int
    end_ns: int
    waiting: Frame | None  # as it stands in its node's queue; None: it does not, and is sent once
    ending: Event | None = None


class Wire:
    """The bus between nodes."""

    def __init__(self, world: World, strike: Callable[[Node, Frame], Verdict]) -> None:
        """Ask `strike` what is done to each attempt."""
        self._world = world
        self._strike = strike
        self.nodes: list[Node] = []
        self.peer_rate = 1.0
        """The bit rate of all sides but the host's, in parts of the nominal; only with 1 they understand each other."""
        self._noise = 0  # error flags of nobody, that wait for the bus
        self._attempt: _Attempt | None = None
        self._is_deciding = False
        self._coming: Event | None = None
        self._coming_ns = 0
        self._free_ns = 0
        self._busy_ns = 0
        self._periods = 0

    # ---- what nodes and faults do

    def offer(self, node: Node, frame: Frame) -> None:
        """Let a node send a frame, behind those that it has."""
        node.queue.append(frame)
        self._kick()

    def withdraw(self, node: Node) -> None:
        """Forget what a node would send; what it has on the wire breaks off."""
        node.queue.clear()
        attempt = self._attempt
        if attempt is not None and attempt.node is node:
            self._violate(attempt, at_sender="")
        node.failures = node.not_before_ns = 0

    def remove(self, node: Node) -> None:
        """Take a node off the bus."""
        self.withdraw(node)
        self.nodes.remove(node)

    def disturb(self) -> None:
        """Put an error flag on the bus that is nobody's: into the frame on it, else as soon as it is free."""
        if self._attempt is not None:
            self._violate(self._attempt)
        else:
            self._noise += 1
            self._kick()

    def recover(self, node: Node) -> None:
        """Let a node that is off come back when it has seen 128 times 11 recessive bits from now on."""
        node.recovery = recovery = Recovery(self._world.now_ns, NOMINAL_NS, self._busy_ns, self._periods)

        def look() -> None:
            due_ns = recovery.due_ns(self._busy_ns, self._periods)
            if node.recovery is not recovery:
                return
            if due_ns > self._world.now_ns:
                self._world.at(due_ns, look)
            else:
                self.reset(node)

        look()

    def reset(self, node: Node) -> None:
        """Let a node begin anew, error active, and report that."""
        node.recovery = None
        node.controller.reset()
        node.failures = node.not_before_ns = 0
        node.note(is_restarted=True)
        self._kick()

    @property
    def waiting(self) -> int:
        """How many frames wait for the bus or are on it, but for those of nodes that only send."""
        return sum(len(node.queue) for node in self.nodes if node.heard is not None)

    def is_quiet(self) -> bool:
        """Whether nothing is on the bus or waits for it, but for nodes that only send."""
        attempt = self._attempt
        is_idle = attempt is None or attempt.node.heard is None
        return is_idle and not self._noise and not self.waiting

    # ---- an attempt

    def _kick(self) -> None:
        """Begin with what waits as soon as the bus is free."""
        if self._attempt is None and not self._is_deciding:
            self._plan(max(self._world.now_ns, self._free_ns))

    def _plan(self, at_ns: int) -> None:
        if self._coming is not None:
            if self._coming_ns <= at_ns:
                return
            self._coming.cancel()
        self._coming_ns = at_ns
        self._coming = self._world.at(at_ns, self._begin)

    def _begin(self) -> None:
        self._coming = None
        now_ns = self._world.now_ns
        if self._noise:
            self._noise -= 1
            self._flag(now_ns)
            return
        able = [node for node in self.nodes if node.queue and node.can_hear() and node.queue]
        ready = [node for node in able if node.not_before_ns <= now_ns]
        if not ready:
            if able:
                self._plan(min(node.not_before_ns for node in able))
            return
        node = ready[0] if len(ready) == 1 else min(ready, key=lambda each: arbitration_of(each.queue[0]))
        waiting = node.queue[0]
        self._is_deciding = True
        verdict = self._strike(node, waiting)
        self._is_deciding = False
        if not (node.can_hear() and node.queue and node.queue[0] is waiting):
            self._kick()  # what struck has taken its sender off the bus
            return
        self._put(node, verdict)

    def _put(self, node: Node, verdict: Verdict) -> None:
        frame, _, rival = verdict
        if frame.fd and not node.controller.is_active:
            frame = frame._replace(esi=True)
        bits = bits_of(frame)
        now_ns = self._world.now_ns
        end_ns = now_ns + bits.nominal * NOMINAL_NS + bits.fast * FAST_NS
        hearers = [each for each in self.nodes if each.heard is not None and each.side != node.side and each.can_hear()]
        attempt = _Attempt(node, frame, hearers, verdict.is_acked, now_ns, end_ns, node.queue[0])
        self._attempt = attempt
        if self._noise:  # it struck this very frame
            self._noise -= 1
            self._end_at(now_ns + (end_ns - now_ns) // 2, lambda: self._violate(attempt))
        elif self.peer_rate != 1.0 and hearers:
            self._end_at(now_ns + GARBLED_BITS * NOMINAL_NS, lambda: self._garble(attempt))
        elif rival is not None:
            differ_ns = now_ns + _agree_bits(frame, rival[1]) * NOMINAL_NS
            self._end_at(min(differ_ns, end_ns), lambda: self._collide(attempt, *rival))
        else:
            self._go_on(attempt)

    def _go_on(self, attempt: _Attempt) -> None:
        """Let the frame go through to its end, or to where its acknowledgement is missing."""
        if attempt.is_acked and attempt.hearers:
            self._end_at(attempt.end_ns, lambda: self._succeed(attempt))
        else:
            self._end_at(attempt.end_ns - AFTER_ACK_BITS * NOMINAL_NS, lambda: self._lack(attempt))

    def _end_at(self, at_ns: int, action: Callable[[], None]) -> None:
        assert self._attempt is not None
        self._attempt.ending = self._world.at(at_ns, action)

    # ---- how it ends

    def _succeed(self, attempt: _Attempt) -> None:
        node, waiting = attempt.node, attempt.waiting
        if not node.can_hear() or (waiting is not None and not (node.queue and node.queue[0] is waiting)):
            self._violate(attempt, at_sender="")  # it lost its power in the middle of it
            return
        hearers = [each for each in attempt.hearers if each.can_hear()]
        if not hearers:
            self._lack(attempt)
            return
        frame = attempt.frame._replace(t_ns=self._world.now_ns)
        if waiting is not None:
            node.queue.popleft()
            node.failures = 0
        node.controller.sent()
        self._close(INTERMISSION_BITS, (node,))
        node.sent(frame)
        node.note()
        for hearer in hearers:
            hearer.controller.received()
            hearer.note()
            if hearer.heard is not None:
                hearer.heard(frame)

    def _lack(self, attempt: _Attempt) -> None:
        """Nobody acknowledges."""
        node = attempt.node
        is_seen = node.controller.is_active
        node.controller.missed_ack()
        self._fail(attempt, (node,))
        node.note("ack", is_sending=True)
        for hearer in attempt.hearers if is_seen else ():
            hearer.controller.failed_to_receive(is_first=False)
            hearer.note("form")

    def _violate(self, attempt: _Attempt, at_sender: str = "bit") -> None:
        """All see a violation at once; "" where the sender has gone."""
        node = attempt.node
        if at_sender:
            node.controller.failed_to_send()
        self._fail(attempt, (node,))
        if at_sender:
            node.note(at_sender, is_sending=True)
        for hearer in attempt.hearers:
            hearer.controller.failed_to_receive(is_first=False)
            hearer.note("stuff")

    def _garble(self, attempt: _Attempt) -> None:
        """Each receiver reads at another rate than the sender: active ones destroy the frame, passive ones cannot."""
        node = attempt.node
        is_destroyed = any(hearer.controller.is_active for hearer in attempt.hearers)
        for hearer in attempt.hearers:
            is_faster = self.peer_rate > 1.0 if hearer.side != "host" else self.peer_rate < 1.0
            is_over_first = is_faster and is_destroyed  # its flag, before the sender's
            hearer.controller.failed_to_receive(is_first=is_over_first)
        if is_destroyed:
            node.controller.failed_to_send()
        else:
            node.controller.missed_ack()
        self._fail(attempt, (node,))
        node.note("bit" if is_destroyed else "ack", is_sending=True)
        for hearer in attempt.hearers:
            hearer.note("stuff")

    def _collide(self, attempt: _Attempt, rival: Node, frame: Frame) -> None:
        """Two send what differs behind the arbitration: who sends a recessive bit there sees it."""
        is_rival_over = _payload(frame) < _payload(attempt.frame)
        loser = attempt.node if is_rival_over else rival
        is_destroyed = loser.controller.is_active
        attempt.hearers = [node for node in attempt.hearers if node is not rival]
        if is_destroyed:
            for node in (attempt.node, rival):
                node.controller.failed_to_send()
            self._fail(attempt, (attempt.node, rival))
            for node in (attempt.node, rival):
                node.note("bit", is_sending=True)
            for hearer in attempt.hearers:
                hearer.controller.failed_to_receive(is_first=False)
                hearer.note("stuff")
            return
        loser.controller.failed_to_send()
        self._put_off(loser)
        if is_rival_over:
            attempt.node, attempt.frame = rival, frame
            attempt.waiting = None
        self._go_on(attempt)
        loser.note("bit", is_sending=True)

    def _flag(self, now_ns: int) -> None:
        """An error flag on the quiet bus."""
        self._free_ns = now_ns + ERROR_BITS * NOMINAL_NS
        self._account(now_ns)
        for node in [node for node in self.nodes if node.heard is not None and node.can_hear()]:
            node.controller.failed_to_receive(is_first=False)
            node.note("stuff")
        self._kick()

    def _fail(self, attempt: _Attempt, senders: tuple[Node, ...]) -> None:
        """End a frame by an error; its senders try again."""
        if attempt.ending is not None:
            attempt.ending.cancel()
        self._close(ERROR_BITS, senders)
        for node in senders:
            self._put_off(node)

    def _put_off(self, node: Node) -> None:
        node.failures += 1
        if node.failures > PATIENCE:
            node.not_before_ns = self._world.now_ns + PATIENT_NS

    def _close(self, bits: int, senders: tuple[Node, ...]) -> None:
        """End the frame on the bus, which is free in so many bits."""
        attempt, self._attempt = self._attempt, None
        assert attempt is not None
        self._free_ns = self._world.now_ns + bits * NOMINAL_NS
        self._account(attempt.begun_ns)
        for node in senders:
            if not node.controller.is_active:
                node.not_before_ns = self._free_ns + SUSPENSION_BITS * NOMINAL_NS
        self._kick()

    def _account(self, begun_ns: int) -> None:
        self._busy_ns += self._free_ns - begun_ns
        self._periods += 1


def _payload(frame: Frame) -> bytes:
    """Return what follows the arbitration field, so that the smaller is the more dominant."""
    return bytes((frame.fd, frame.code)) + frame.data


def _agree_bits(one: Frame, other: Frame) -> int:
    """Return after how many bits two frames with one id differ, to the byte and without stuff bits."""
    pairs = zip(_payload(one), _payload(other), strict=False)
    equal = next((place for place, (a, b) in enumerate(pairs) if a != b), 0)
    return HEAD_BITS + 20 * one.extended + 8 * max(equal - 2, 0)
