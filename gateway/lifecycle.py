"""Layer 2: the lifecycle of a connection: states, events and the one transition table. Pure.

DESIGN 7 names the states and targets. The breaker of a device is this table: closed is CONNECTED, open is BACKING_OFF
(or FAILED, where our own part broke), half-open is CONNECTING, with one attempt. A pair that the table does not list
changes nothing: late news of a port that was closed meanwhile is no reason to leave a state.
"""

from __future__ import annotations

from enum import StrEnum
from typing import Final

import msgspec


class State(StrEnum):
    """Where the connection stands."""

    ABSENT = "ABSENT"  # looked for, not there
    DISCOVERING = "DISCOVERING"  # being looked for
    CONNECTING = "CONNECTING"  # there, being opened and set up
    CONNECTED = "CONNECTED"
    BACKING_OFF = "BACKING_OFF"  # there, refused; waiting before the next attempt
    DISCONNECTED = "DISCONNECTED"  # was connected
    FAILED = "FAILED"  # our own part broke, or the site asks for the impossible; still tried again, seldom
    QUIESCED = "QUIESCED"  # left alone on purpose


class Target(StrEnum):
    """Where the connection should stand."""

    DETACHED = "DETACHED"
    DISCOVERABLE = "DISCOVERABLE"
    CONNECTED = "CONNECTED"
    QUIESCED = "QUIESCED"


class Event(StrEnum):
    """What happened."""

    SEEK = "seek"  # we begin to look for it
    ATTEMPT = "attempt"  # we begin to open it
    OPENED = "opened"
    MISSING = "missing"  # nothing there
    REFUSED = "refused"  # there, but busy, forbidden or silent
    LOST = "lost"  # went away while open
    CLOSED = "closed"  # we closed it, or its log ended
    RESTARTED = "restarted"  # it began anew while its port stayed open
    BROKEN = "broken"  # a fault of ours, or options that can never work
    QUIESCE = "quiesce"
    RESUME = "resume"


_ANYWHERE: Final = {Event.BROKEN: State.FAILED, Event.QUIESCE: State.QUIESCED, Event.CLOSED: State.DISCONNECTED}
_LOOKING: Final = {
    Event.OPENED: State.CONNECTED,
    Event.MISSING: State.ABSENT,
    Event.REFUSED: State.BACKING_OFF,
    **_ANYWHERE,
}

TRANSITIONS: Final[dict[State, dict[Event, State]]] = {
    State.ABSENT: {Event.SEEK: State.DISCOVERING, **_LOOKING},  # an attempt at nothing connects to nothing
    State.DISCOVERING: {Event.ATTEMPT: State.CONNECTING, **_LOOKING},
    State.CONNECTING: {Event.LOST: State.DISCONNECTED, **_LOOKING},
    State.CONNECTED: {  # a port may refuse, or be gone, while it is open
        Event.LOST: State.DISCONNECTED,
        Event.RESTARTED: State.CONNECTING,
        **_LOOKING,
    },
    State.BACKING_OFF: {Event.SEEK: State.DISCOVERING, Event.ATTEMPT: State.CONNECTING, **_LOOKING},
    State.DISCONNECTED: {Event.SEEK: State.DISCOVERING, Event.ATTEMPT: State.CONNECTING, **_LOOKING},
    State.FAILED: {Event.SEEK: State.DISCOVERING, Event.ATTEMPT: State.CONNECTING, **_LOOKING},
    State.QUIESCED: {Event.RESUME: State.DISCOVERING, Event.CLOSED: State.DISCONNECTED},
}

_TOWARDS: Final[dict[Target, dict[State, Event]]] = {
    Target.CONNECTED: {
        State.ABSENT: Event.ATTEMPT,
        State.DISCOVERING: Event.ATTEMPT,
        State.BACKING_OFF: Event.ATTEMPT,
        State.DISCONNECTED: Event.ATTEMPT,
        State.FAILED: Event.ATTEMPT,
        State.QUIESCED: Event.RESUME,
    },
    Target.DISCOVERABLE: {
        State.ABSENT: Event.SEEK,
        State.CONNECTING: Event.CLOSED,
        State.CONNECTED: Event.CLOSED,
        State.BACKING_OFF: Event.SEEK,
        State.DISCONNECTED: Event.SEEK,
        State.FAILED: Event.SEEK,
        State.QUIESCED: Event.RESUME,
    },
    Target.DETACHED: {state: Event.CLOSED for state in State if state is not State.DISCONNECTED},
    Target.QUIESCED: {state: Event.QUIESCE for state in State if state is not State.QUIESCED},
}


def next_state(state: State, event: Event) -> State:
    """Return the state after `event`; the same one where the table has no entry."""
    return TRANSITIONS[state].get(event, state)


def towards(state: State, target: Target) -> Event | None:
    """Return what to do in `state` to come nearer to `target`; None: nothing, wait."""
    return _TOWARDS[target].get(state)


class Lifecycle(msgspec.Struct, frozen=True):
    """The shadow of one connection: where it stands, since when, and why."""

    state: State = State.DISCOVERING
    target: Target = Target.CONNECTED
    since_ns: int = 0  # monotonic, when the state was entered
    attempt: int = 0  # attempts since it last stood CONNECTED
    reason: str = ""  # of the last change

    def aimed(self, target: Target) -> Lifecycle:
        """Return the lifecycle with another target; where it stands does not change by that."""
        return Lifecycle(self.state, target, self.since_ns, self.attempt, self.reason)

    def after(self, event: Event, now_ns: int, reason: str = "") -> Lifecycle:
        """Return the lifecycle after `event` at `now_ns` (monotonic)."""
        state = next_state(self.state, event)
        attempt = self.attempt + (event is Event.ATTEMPT)
        if state is State.CONNECTED:
            attempt = 0
        since_ns = self.since_ns if state is self.state else now_ns
        return Lifecycle(state, self.target, since_ns, attempt, reason or (self.reason if state is self.state else ""))
