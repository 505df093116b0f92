"""QEMU's machine protocol: one JSON object a line, over a connected socket. Source: QEMU docs/interop/qmp-spec.txt."""

from __future__ import annotations

import json
import socket
from typing import Any, Final, Self

from hil.kernel.host import RigError

ANSWER_S: Final = 20.0  # QEMU answers in a millisecond; a loaded machine may take its time


class Qmp:
    """One monitor. Commands and the events that are waited for; other events are kept until somebody waits."""

    def __init__(self, end: socket.socket) -> None:
        """Take a socket whose other end is QEMU's monitor, and make it ready for commands. Raises: RigError."""
        end.settimeout(ANSWER_S)
        self._end = end
        self._lines = end.makefile("rb")
        self._events: list[str] = []
        self._next("QMP")
        self.execute("qmp_capabilities")

    def execute(self, command: str, **arguments: Any) -> Any:
        """Return what QEMU answers. Raises: RigError with what it objects to."""
        words = {name.replace("_", "-"): value for name, value in arguments.items()}
        try:
            self._end.sendall(json.dumps({"execute": command, "arguments": words}).encode() + b"\n")
        except OSError as error:
            raise RigError(f"QEMU is gone ({error}); it was told {command}") from error
        answer = self._next("return", "error")
        if "error" in answer:
            raise RigError(f"QEMU refuses {command}: {answer['error'].get('desc', answer['error'])}")
        return answer["return"]

    def wait_for(self, event: str) -> None:
        """Return when `event` has come, also if it came before. Raises: RigError."""
        while event not in self._events:
            self._events.append(self._next("event")["event"])
        self._events.remove(event)

    def close(self) -> None:
        """Let the monitor go."""
        self._lines.close()
        self._end.close()

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_exception: object) -> None:
        self.close()

    def _next(self, *kinds: str) -> dict[str, Any]:
        """Return the next message that has one of these keys; events that come before are kept."""
        while True:
            try:
                line = self._lines.readline()
            except OSError as error:
                raise RigError(f"QEMU does not answer ({error})") from error
            if not line:
                raise RigError("QEMU has ended")
            message: dict[str, Any] = json.loads(line)
            if any(kind in message for kind in kinds):
                return message
            if "event" in message:
                self._events.append(message["event"])
