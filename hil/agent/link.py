"""The thread that talks with an agent: dials, keeps the line alive, dials again. What is said means nothing here."""

from __future__ import annotations

import contextlib
import select
import socket
import ssl
import threading
import time
from collections.abc import Callable
from typing import Final, Protocol

from gateway.errors import GatewayError
from hil.agent.dialling import Line
from hil.agent.errors import AgentLostError, AgentProtocolError
from hil.agent.messages import Beat, FromRunner, Hello, Incoming, Message, encoded

START_S: Final = 15.0  # until an agent says its first word: ports may open slowly
SSH_START_S: Final = 60.0  # for ssh, an interpreter and an agent on a small machine

_READ_BYTES: Final = 65_536
_FIRST_PAUSE_S: Final = 0.1
_LONGEST_PAUSE_S: Final = 2.0


class Talk(Protocol):
    """What is to be said and heard; all but `next_out` is called by the thread of a link alone."""

    def hello(self) -> Hello:
        """Return the first message, also after each interruption."""
        ...

    def heard(self, message: Message) -> None:
        """Take a message. Raises: GatewayError, which ends everything."""
        ...

    def next_out(self) -> FromRunner | None:
        """Return what is to be said now, None for nothing."""
        ...

    def interrupted(self, why: AgentLostError) -> bool:
        """Take that the line broke; return whether to dial again."""
        ...

    def ended(self, why: GatewayError) -> None:
        """Take that there will be nothing more."""
        ...


class Link:
    """One runner's way to one agent."""

    def __init__(self, dial: Callable[[], Line], talk: Talk, *, beat_s: float, silence_s: float, name: str) -> None:
        self._dial = dial
        self._talk = talk
        self._beat_s = beat_s
        self._silence_s = silence_s
        self._stopping = threading.Event()
        self._has_heard = False  # anything over the line that is open
        self._bell, self._rope = socket.socketpair()  # rung when there is something to say
        self._thread = threading.Thread(target=self._run, name=name, daemon=True)

    def start(self) -> None:
        """Begin to dial."""
        self._thread.start()

    def wake(self) -> None:
        """Tell the thread that there is something to say. From any thread."""
        with contextlib.suppress(OSError):  # it rings already, or nobody listens any more
            self._rope.send(b"!", socket.MSG_DONTWAIT)

    def stop(self, patience_s: float = 3.0) -> None:
        """End the thread. From another one, any number of times."""
        self._stopping.set()
        self.wake()
        if self._thread.ident is not None:
            self._thread.join(patience_s)

    def _run(self) -> None:
        pause_s = _FIRST_PAUSE_S
        try:
            while not self._stopping.is_set():
                try:
                    if self._once():
                        pause_s = _FIRST_PAUSE_S
                except AgentLostError as error:
                    if not self._talk.interrupted(error):
                        return
                    self._stopping.wait(pause_s)
                    pause_s = min(2 * pause_s, _LONGEST_PAUSE_S)
        except GatewayError as error:
            self._talk.ended(error)
        finally:
            self._talk.ended(AgentLostError("closed by us"))
            self._bell.close()
            self._rope.close()

    def _once(self) -> bool:
        """Talk over one line until it breaks."""
        line = self._dial()
        try:
            self._over(line)
        except OSError as error:
            if isinstance(error, GatewayError):
                raise
            raise self._broken(line, f"the connection broke: {error}") from error
        finally:
            line.close()
        return True

    def _over(self, line: Line) -> None:
        wire, incoming = line.socket, Incoming(from_agent=True)
        self._say(wire, self._talk.hello())
        heard_s = time.monotonic()
        silence_s = max(START_S if line.process is None else SSH_START_S, self._silence_s)
        self._has_heard = False
        beat_due_s = heard_s + self._beat_s
        while not self._stopping.is_set():
            now_s = time.monotonic()
            if now_s - heard_s >= silence_s:
                raise AgentLostError(f"the agent was silent for {silence_s:g} s")
            if now_s >= beat_due_s:
                self._say(wire, Beat(time.monotonic_ns()))
                beat_due_s = now_s + self._beat_s
            while (message := self._talk.next_out()) is not None:
                self._say(wire, message)
            ready, _, _ = select.select([wire, self._bell], [], [], max(0.0, beat_due_s - time.monotonic()))
            if self._bell in ready:
                self._bell.recv(_READ_BYTES)
            if wire in ready and self._hear(wire, incoming, line):
                heard_s, silence_s, self._has_heard = time.monotonic(), self._silence_s, True

    def _broken(self, line: Line, how: str) -> AgentLostError:
        """Return what is known of a line that broke."""
        said = line.last_words()
        if not said and line.process is None and not self._has_heard:
            is_tls = isinstance(line.socket, ssl.SSLSocket)
            why = (
                "does it take our certificate (TIDEGATE_AGENT_CERT)?"
                if is_tls
                else "does it want TLS (TIDEGATE_AGENT_CA)?"
            )
            how = f"{how} before it said anything; {why}"
        return AgentLostError(said or how)

    def _say(self, wire: socket.socket, message: FromRunner) -> None:
        wire.settimeout(self._silence_s)
        wire.sendall(encoded(message))

    def _hear(self, wire: socket.socket, incoming: Incoming, line: Line) -> bool:
        """Take all that is there; return whether anything was."""
        wire.settimeout(0.0)
        has_heard = False
        while True:
            try:
                data = wire.recv(_READ_BYTES)
            except (BlockingIOError, ssl.SSLWantReadError):
                return has_heard
            if not data:
                raise self._broken(line, "the agent closed the connection")
            has_heard = True
            try:
                for message in incoming.feed(data):
                    self._talk.heard(message)
            except AgentProtocolError as error:
                raise AgentProtocolError(f"what answers is no agent as we know them: {error}") from error
