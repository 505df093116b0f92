"""`tidegate hil shell`: the fixtures of a rig in the hand."""

from __future__ import annotations

import code
import sys
import tempfile
from collections.abc import Iterable
from contextlib import closing
from pathlib import Path
from typing import Any, Final

import click

from gateway.errors import UsageError
from gateway.spelling import did_you_mean
from hil.rigs.standard import PROTOCOL_OF

FIXTURES: Final = {protocol: name for name, protocol in PROTOCOL_OF.items()}


@click.command(name="shell")
@click.option("--rig", "file", metavar="FILE", type=click.Path(path_type=Path), help="Rig file [the simulated rig].")
@click.option("--target", metavar="NAME", help="Target of the rig [the first].")
@click.option("--trace", metavar="FILE", type=click.Path(path_type=Path), help="Record into this file.")
@click.option("--seed", type=click.IntRange(min=0), default=1, show_default=True, help="Of all that is left to chance.")
def command(file: Path | None, target: str | None, trace: Path | None, seed: int) -> None:
    """Try a rig by hand: a Python prompt with the names that tests have.

    \b
    For example:
      $ tidegate hil shell
      >>> uart.peer.on(b"ping", b"pong")
      >>> uart.write(b"ping"); uart.read(4)
      b'pong'
    """  # noqa: D301 - click keeps the lines behind its mark
    from hil.rigs.base import Round
    from hil.rigs.making import make_rig, read_file

    rig_file = None if file is None else read_file(file)
    known = ["sim"] if rig_file is None else list(rig_file.target)
    if target is not None and target not in known:
        raise UsageError(f"--target {target}: no such target{did_you_mean(target, known)}")
    rig = make_rig(rig_file, target or known[0])
    with tempfile.TemporaryDirectory(prefix="tidegate-hil-") as scratch:
        rig.begin(Round("shell", seed, Path(scratch)), trace or Path(scratch) / "shell.trace")
        try:
            with closing(rig.make_gateway()) as gateway:
                names = {**_names(rig), "gateway": gateway}
                code.interact(_banner(rig, names), local=names, exitmsg="")
        finally:
            rig.end()
            rig.close()


def _names(rig: Any) -> dict[str, Any]:
    names: dict[str, Any] = {"rig": rig, "dut": rig.dut, "clock": rig.clock, "faults": rig.faults}
    for name, protocol in rig.resources.items():
        names.setdefault(FIXTURES[protocol], rig.get(name))
        names[name] = rig.get(name)
    return names


def _banner(rig: Any, names: Iterable[str]) -> str:
    return (
        f"rig {rig.name}, target {rig.target}: {', '.join(sorted(names))}\nPython {sys.version.split()[0]}; Ctrl-D ends"
    )
