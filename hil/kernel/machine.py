"""The life of one guest: booted, listened to, ended at the latest when its time is up."""

from __future__ import annotations

import contextlib
import selectors
import shutil
import socket
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable, Mapping, Sequence
from contextlib import AbstractContextManager, ExitStack
from pathlib import Path
from typing import Final

from hil.kernel.guest import WIRE_ENDS, Guest, command, setup
from hil.kernel.host import RigError, start, stop, tail
from hil.kernel.image import Image
from hil.kernel.qmp import Qmp
from hil.kernel.totals import Result, result_of

Obey = Callable[[str], str]
MakeHands = Callable[[Qmp, Callable[[], object]], AbstractContextManager[Obey]]
"""Takes the guest's monitor and what kills the guest; gives what obeys it."""

MAIN: Final = Path(__file__).with_name("main")
CHUNK_BYTES: Final = 65536


def run_guest(
    guest: Guest,
    image: Image,
    *,
    files: Mapping[str, Path],
    options: Sequence[str] = (),
    disks: Mapping[str, Path] | None = None,
    hands: MakeHands | None = None,
) -> Result:
    """Boot a guest, let its pytest's output through to ours, return what it reported.

    `files` go into its share, `disks` are where the servers of its disks listen.
    """
    with ExitStack() as undo:
        share = Path(undo.enter_context(tempfile.TemporaryDirectory(prefix="tidegate-")))
        columns = shutil.get_terminal_size((100, 24)).columns
        (share / "setup").write_text(setup(guest, options, columns), encoding="utf-8")
        for name, path in {"main": MAIN, **files}.items():
            shutil.copyfile(path, share / name)
        try:
            child, ends = _boot(guest, image, share, disks or {}, undo)
            monitor = undo.enter_context(Qmp(ends["monitor"]))
            obey = undo.enter_context(hands(monitor, child.kill)) if hands else None
            fault = attend(guest, ends, obey)
        except RigError as error:
            fault = str(error)
        return _result(guest, share, fault)


def _boot(
    guest: Guest, image: Image, share: Path, disks: Mapping[str, Path], undo: ExitStack
) -> tuple[subprocess.Popen[bytes], dict[str, socket.socket]]:
    """Start QEMU, to be stopped by `undo`; return it with our ends of its channels."""
    pairs = {name: socket.socketpair() for name in guest.channels}
    theirs = {name: end for name, (_, end) in pairs.items()}
    if guest.has_usb:
        theirs |= dict(zip(WIRE_ENDS, socket.socketpair(), strict=True))
    sockets = {name: end.fileno() for name, end in theirs.items()}
    for ours, _ in pairs.values():
        undo.callback(ours.close)
    words = command(guest, image, share, sockets, disks)
    child = start(words, log=share / "qemu", fds=list(sockets.values()))
    undo.callback(stop, child)
    for end in theirs.values():
        end.close()
    return child, {name: ours for name, (ours, _) in pairs.items()}


def attend(guest: Guest, ends: Mapping[str, socket.socket], obey: Obey | None) -> str:
    """Pass output on and obey the guest until it has ended; return what went wrong, "" for nothing."""
    until_s = time.monotonic() + guest.limit_s
    pending = b""
    with selectors.DefaultSelector() as ready:
        for name in guest.channels:
            if name != "monitor":
                ready.register(ends[name], selectors.EVENT_READ, name)
        while (left_s := until_s - time.monotonic()) > 0:
            for key, _ in ready.select(left_s):
                chunk = _received(ends[key.data])
                if key.data == "output":
                    sys.stdout.buffer.write(chunk)
                    sys.stdout.buffer.flush()
                    if not chunk:
                        return ""  # QEMU has let go of it: the guest is off
                    continue
                *lines, pending = (pending + chunk).split(b"\n")
                for line in lines:
                    answer = obey(line.decode(errors="replace")) if obey else "error: nobody listens"
                    with contextlib.suppress(ConnectionError):  # it may have been killed meanwhile
                        ends[key.data].sendall(answer.encode() + b"\n")
                if not chunk:
                    ready.unregister(ends[key.data])
    return f"it had not ended after {guest.limit_s:g} s"


def _received(end: socket.socket) -> bytes:
    """Return what came; nothing once QEMU has let go, also where it was killed before it read what we said."""
    try:
        return end.recv(CHUNK_BYTES)
    except ConnectionResetError:
        return b""


def _result(guest: Guest, share: Path, fault: str) -> Result:
    report = share / "report.json"
    if not fault and report.exists():
        return result_of(guest.name, report.read_text(encoding="utf-8"))
    said = {name: _text(share / name) for name in ("console", "qemu")}
    told = "".join(f"\n--- its {name}:\n{tail(text)}" for name, text in said.items() if text.strip())
    return Result(guest.name, fault=f"{fault or 'it ended without a report of pytest'}{told}")


def _text(file: Path) -> str:
    return file.read_text(errors="replace") if file.exists() else ""
