"""The real firmware under a real gateway: an emulated microcontroller, its cable with our hands on it, `tidegate run`.

    gateway process  <-- tty -->  Wire (this process)  <-- UART -->  QEMU

What happens in mid-command is tied to the bytes on the wire, not to time: `Wire.on_order` and `on_ack` are called with
the next such frame before it goes on, and return what goes on.
"""

from __future__ import annotations

import contextlib
import json
import os
import pwd
import re
import select
import subprocess
import sys
import threading
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any, Final, Self

from gateway.cli.client import ask
from gateway.cli.talk import ask_once
from gateway.errors import GatewayUnreachableError, UsageError
from gateway.frame import Garbage
from gateway.ledger import Ledger, Record
from gateway.profile.load import find_profile
from gateway.schema.plan import values_of
from hil.kernel.firmware import Microcontroller, build
from hil.sim.board import BoardOnCable
from hil.sim.pty import Cable
from tests.hil.node_line import PROFILE

LIMIT_S: Final = 40.0  # for what is only a matter of time
TICK_S: Final = 0.002
TIDEGATE: Final = [sys.executable, "-m", "gateway"]
ROUTE: Final = "node/node/valve@desired"
ME: Final = f"user:{pwd.getpwuid(os.getuid()).pw_name}"
Hook = Callable[[bytes], bytes]  # from a whole frame to what goes on in its place


def until(condition: Callable[[], Any], what: str) -> Any:
    """Return what `condition` gives once it gives something."""
    end_s = time.monotonic() + LIMIT_S
    while not (found := condition()):
        assert time.monotonic() < end_s, f"not in time: {what}"
        time.sleep(0.01)
    return found


class Wire(BoardOnCable):
    """The cable between gateway and board, carried by a thread of its own."""

    def __init__(self, cable: Cable, board: Microcontroller, uart: Path) -> None:
        super().__init__(cable, board, uart)
        self.on_order: Hook | None = None
        self.on_ack: Hook | None = None
        self.said: list[tuple[str, dict[str, Any]]] = []  # by the board
        self._framer = PROFILE.framer()
        self._from_board = self._from_gateway = b""
        self._lock = threading.RLock()  # a cable is not pulled while somebody speaks into it
        self._ended = threading.Event()
        self._carrier = threading.Thread(target=self._carry)
        self._carrier.start()

    def __exit__(self, *exception: object) -> None:
        self._ended.set()
        self._carrier.join()
        super().__exit__(*exception)

    def vanish(self) -> None:
        with self._lock:
            super().vanish()
            self._from_gateway = b""

    def to_board(self, data: bytes) -> None:
        """Say something to the board that the gateway did not."""
        self._line.setblocking(True)
        self._line.sendall(data)
        self._line.setblocking(False)

    def last(self, message: str) -> dict[str, Any] | None:
        """Return what the board said last in such a message."""
        return next((values for name, values in reversed(self.said) if name == message), None)

    def orders(self) -> int:
        """Return how many orders the firmware has obeyed: what a reset pin makes it tell, and not forget."""
        self.next("measurement")
        self._board.reset()
        return int(self.next("orders")["orders"])

    def next(self, message: str) -> dict[str, Any]:
        """Return what the board says next in such a message, all that it was told before having been done."""
        heard = len(self.said)
        return until(lambda: dict(self.said[heard:]).get(message), f"the board says {message}")  # type: ignore[no-any-return]

    def withhold_until(self, message: str, **facts: Any) -> None:
        """Of a hook: return when the board says so, and let the gateway hear nothing of it."""
        send, self.cable.send = self.cable.send, lambda _: None  # type: ignore[method-assign]
        end_s = time.monotonic() + LIMIT_S
        heard = len(self.said)
        while not any(name == message and values.items() >= facts.items() for name, values in self.said[heard:]):
            assert time.monotonic() < end_s, f"not in time: {message} with {facts}"
            with contextlib.suppress(OSError):
                self._from_board = self._frames(self._from_board + self._line.recv(4096), self._go_up)
        self.cable.send = send  # type: ignore[method-assign]

    def tick(self, now_s: float = 0.0) -> None:
        del now_s
        with self._lock:
            with contextlib.suppress(OSError):  # nothing there, or the board has lost its power
                self._from_board = self._frames(self._from_board + self._line.recv(4096), self._go_up)
            self._from_gateway = self._frames(self._from_gateway + self.cable.receive(), self._go_down)

    def _carry(self) -> None:
        while not self._ended.is_set():
            select.select([self._line], [], [], TICK_S)
            self.tick()

    def _frames(self, data: bytes, go: Callable[[bytes], None]) -> bytes:
        *frames, rest = data.split(b"\0")
        for frame in frames:
            go(frame + b"\0")
        return rest

    def _go_up(self, frame: bytes) -> None:
        for body in self._framer.feed(frame):
            name = None if isinstance(body, Garbage) else PROFILE.match(body, None)
            if name is not None:
                self.said.append((name, values_of(PROFILE.messages[name], PROFILE.messages[name].decode(body))))
                if name == "ack" and (hook := self.on_ack) is not None:
                    self.on_ack = None
                    frame = hook(frame)
        self.cable.send(frame)

    def _go_down(self, frame: bytes) -> None:
        (body,) = PROFILE.framer().feed(frame) or [b""]
        if not isinstance(body, Garbage) and body[:1] == b"\x10" and (hook := self.on_order) is not None:
            self.on_order = None
            frame = hook(frame)
        with contextlib.suppress(OSError):
            self.to_board(frame)


class Gateway:
    """A `tidegate run` of its own."""

    def __init__(self, folder: Path) -> None:
        self.data = folder / "data"
        with (folder / "gateway.log").open("ab") as log:
            self._process = subprocess.Popen([*TIDEGATE, "run", folder / "site.toml"], stderr=log)
        until(lambda: self._process.poll() is not None or self._answers(), "the gateway answers")
        assert self._process.poll() is None, (folder / "gateway.log").read_text()

    def kill(self) -> None:
        """As a loss of power would."""
        self._process.kill()
        self._process.wait()

    def end(self) -> None:
        self._process.terminate()
        self._process.wait(LIMIT_S)

    def cli(self, *words: str, told: str | None = None) -> subprocess.CompletedProcess[str]:
        """Run one of our commands as a user does, with `told` as its input."""
        return finished(self.begun(*words), told)

    def begun(self, *words: str) -> subprocess.Popen[str]:
        """Begin one, for what goes wrong while it runs."""
        command = [*TIDEGATE, *words, "--data", str(self.data)]
        return subprocess.Popen(
            command, stdin=subprocess.PIPE, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True
        )

    def set(self, percent: float, *words: str) -> subprocess.Popen[str]:
        """Begin to set the valve, with time enough for a crowded machine unless `words` say otherwise."""
        return self.begun("set", ROUTE, str(percent), "--expires", "20s", "--wait", "30s", "--json", *words)

    def ask(self, request: str, **args: Any) -> dict[str, Any]:
        told: dict[str, Any] = ask_once(str(self.data), None, request, dict, **args)
        return told

    @property
    def shadow(self) -> dict[str, Any]:
        return self.ask("shadow", device="node")

    @property
    def coherence(self) -> str:
        return str(self.shadow["coherence"]["valve"])

    @property
    def lifecycle(self) -> str:
        return str(ask(str(self.data), "devices")[0]["lifecycle"])

    @property
    def commands(self) -> list[dict[str, Any]]:
        found: list[dict[str, Any]] = self.ask("commands")["commands"]
        return found

    def is_up(self) -> bool:
        """Return whether the node speaks and stands still."""
        told = self.shadow
        mode = self.ask("get", route="node/node/mode")["value"]
        return not told["stale"] and told["coherence"]["valve"] not in {"STALE", "UNKNOWN"} and mode != "moving"

    def _answers(self) -> bool:
        try:
            ask(str(self.data), "status")
        except (GatewayUnreachableError, UsageError):
            return False
        return True


def finished(process: subprocess.Popen[str], told: str | None = None) -> subprocess.CompletedProcess[str]:
    """Return what a command said, when it has ended."""
    out, err = process.communicate(told, timeout=LIMIT_S)
    return subprocess.CompletedProcess(process.args, process.returncode, out, err)


def result(process: subprocess.Popen[str]) -> dict[str, Any]:
    """Return what `set --json` told, with its exit code as `exit`."""
    done = finished(process)
    told: dict[str, Any] = json.loads(done.stdout)
    return told | {"exit": done.returncode}


class Bench:
    """A board at a gateway; what a test pulls, kills and starts anew it leaves here."""

    def __init__(self, folder: Path, changes: str = "") -> None:
        """`changes`: lines in place of those of the shipped profile's setpoint."""
        self.folder = folder
        self._changes = changes
        self.may_repeat = True
        self._undo = contextlib.ExitStack()

    def __enter__(self) -> Self:
        with self._undo:
            self._elf = build()
            self.cable = self._undo.enter_context(Cable(self.folder / "node"))
            self._write_site()
            self.power_on()
            self.start()
            self._undo = self._undo.pop_all()
        return self

    def __exit__(self, *_exception: object) -> None:
        self._undo.close()

    def _write_site(self) -> None:
        profile = "cobs-node"
        if self._changes:
            profile = str(self.folder / "changed.toml")
            Path(profile).write_text(_changed(self._changes))
        (self.folder / "site.toml").write_text(
            f'[gateway]\nname = "bench"\ndata = "{self.folder / "data"}"\n[ledger]\nfootprint = "small"\n'
            f'[device.node]\nprofile = "{profile}"\nport = "{self.cable.path}"\n'
            f'[grant.me]\nprincipal = "{ME}"\nroutes = "**"\nverbs = ["read", "write", "admin"]\n'
        )

    def power_on(self) -> None:
        """Give a board its power, and put it at the cable."""
        self._powered = self._undo.enter_context(contextlib.ExitStack())
        uart = self.folder / "uart"
        uart.unlink(missing_ok=True)
        self.board = self._powered.enter_context(Microcontroller(self._elf, uart=uart))
        self.wire = self._powered.enter_context(Wire(self.cable, self.board, uart))

    def power_off(self) -> None:
        self.board.kill()
        self._powered.close()

    def start(self) -> None:
        """Start the gateway, and wait until it knows the valve."""
        self.gateway = Gateway(self.folder)
        self._undo.callback(self.gateway.end)
        until(self.gateway.is_up, "the node is connected and holds still")

    def records(self, *kinds: str) -> list[Record]:
        with Ledger.open(self.folder / "data" / "ledger", read_only=True) as ledger:
            return [item for item in ledger.read() if isinstance(item, Record) and item.kind in kinds]

    def outcomes(self) -> dict[str, list[str]]:
        """Return every outcome on record, by the command that had it."""
        found: dict[str, list[str]] = {record.body["id"]: [] for record in self.records("command_intent")}
        for record in self.records("command_result"):
            found[record.body["id"]].append(record.body["outcome"])
        return found


def _changed(changes: str) -> str:
    text = find_profile("cobs-node").read_text()
    for line in changes.splitlines():
        key = line.partition("=")[0].strip()
        text = re.sub(rf"(?m)^{key} *=.*\n", "", text)
    return text.replace("[setpoint.valve]\n", f"[setpoint.valve]\n{changes}\n")
