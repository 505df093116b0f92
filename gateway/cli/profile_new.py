"""Layer 9: `tidegate profile new`: a first profile for a device, its framing proposed from a capture."""

from __future__ import annotations

import re
from pathlib import Path
from typing import Final

import click

from gateway.cli.decode import likely_format
from gateway.cli.inputs import opened
from gateway.cli.inputs_lines import parse_candump
from gateway.errors import UsageError
from gateway.frame import Garbage
from gateway.framing.spec import Cobs
from gateway.profile.guess import SAMPLE_BYTES, Proposal, guess_framing
from gateway.profile.skeleton import MAX_MESSAGES, skeleton
from gateway.profile.validate import examine

_MAX_CAPTURE_BYTES: Final = 8 * SAMPLE_BYTES  # hex and candump take several characters a byte
_MAX_NAME: Final = 40  # characters of a name made from a capture's
_SHOWN: Final = 3  # proposals


@click.command(name="new")
@click.argument("name", required=False)
@click.option("--from", "capture", metavar="CAPTURE", help="Raw bytes, hex lines or a candump log of the device.")
@click.option("-o", "--output", type=click.Path(path_type=Path), help="Write here, not to stdout.")
@click.option("--bus", type=click.Choice(["uart", "can", "ble", "spi"]), help="Where there is no capture: uart.")
def command(*, name: str | None, capture: str | None, output: Path | None, bus: str | None) -> None:
    """Write a first profile called NAME (or PUBLISHER/NAME) for a device; without a NAME, that of the capture.

    With --from, its framing is proposed from the beginning of CAPTURE: delimiters, start bytes, lengths, checks.
    What was found, how sure it is and which frames support it is told on stderr. The profile decodes these frames;
    what the bytes mean is for you to add.

    Exit 2: CAPTURE cannot be read, NAME is no name, or the output exists.
    """
    name = name or _name_of(capture)
    if capture is None:
        text = skeleton(name, bus or "uart", Cobs() if bus in (None, "uart") else None, [], notes=_template_notes(bus))
    else:
        text = _from_capture(name, capture, bus)
    _check(name, text)
    if output is None:
        click.echo(text, nl=False)
        return
    try:
        with output.open("x") as file:
            file.write(text)
    except OSError as error:
        raise UsageError(f"{output}: {error.strerror}") from error


def _name_of(capture: str | None) -> str:
    stem = "" if capture is None else Path(capture).stem
    return re.sub(r"[^a-z0-9]+", "-", stem.lower()).strip("-")[:_MAX_NAME] or "my-device"


def _template_notes(bus: str | None) -> list[str]:
    where = "framing, " if bus in (None, "uart") else ""
    return [f"A first profile: correct {where}messages and fields, then run `tidegate profile check` on it."]


def _from_capture(name: str, capture: str, bus: str | None) -> str:
    with opened(capture) as stream:
        data = stream.read(_MAX_CAPTURE_BYTES) or b""
    form = likely_format(data)
    if not data:
        raise UsageError(f"{capture} is empty")
    if bus == "can" or (form == "candump" and bus is None):
        return _from_candump(name, data)
    if bus not in (None, "uart"):
        raise UsageError(f"a capture of bus {bus!r} shows no framing; write the messages by hand")
    if form == "hex":
        data = _unhexed(data)
    proposals = guess_framing(data)
    _tell(proposals)
    if not proposals:
        raise UsageError(f"{capture}: nothing repeats in it; capture more, or check baud and parity")
    best = proposals[0]
    notes = [
        f"Proposed from {len(data[:SAMPLE_BYTES])} bytes of {Path(capture).name}, confidence {best.confidence}.",
        f"{best.evidence}.",
        "Names, units and meanings are still missing.",
    ]
    return skeleton(name, "uart", best.framing, best.bodies, notes=_plain(notes))


def _unhexed(data: bytes) -> bytes:
    found = bytearray()
    for line in data.split(b"\n"):
        if line.lstrip().startswith(b"#"):
            continue
        try:
            found += bytes.fromhex(line.decode("ascii", "replace"))
        except ValueError:
            continue
    return bytes(found)


def _from_candump(name: str, data: bytes) -> str:
    bodies: dict[str, list[bytes]] = {}
    for line in data.split(b"\n")[: 1 << 16]:
        for _, text, _, body in parse_candump(line) if line.strip() else []:
            if text is not None and not isinstance(body, Garbage):
                bodies.setdefault(text, []).append(body)
    if not bodies:
        raise UsageError("no CAN frame in it; candump writes lines like (1436509052.249713) can0 044#2A366C2BBA")
    left = len(bodies) - MAX_MESSAGES
    frames = sum(map(len, bodies.values()))
    click.echo(
        f"{frames} frames of {len(bodies)} ids" + (f"; the last {left} ids are left out" if left > 0 else ""), err=True
    )
    notes = [f"Made from {frames} CAN frames; names, units and meanings are still missing."]
    return skeleton(name, "can", None, [], ids=sorted(bodies.items()), notes=notes)


def _tell(proposals: list[Proposal]) -> None:
    """Say what the best proposal of each kind rests on."""
    best = {type(proposal.framing).__name__.lower(): proposal for proposal in reversed(proposals)}
    kinds = sorted(best, key=lambda kind: -best[kind].score)
    for kind in kinds[:_SHOWN]:
        proposal = best[kind]
        first = next((body for body in proposal.bodies if body), b"")
        click.echo(f"{proposal.confidence:>6}  {kind}: {proposal.evidence}", err=True)
        click.echo(f"        first body: {first[:32].hex(' ')}{' ...' if len(first) > 32 else ''}", err=True)


def _plain(notes: list[str]) -> list[str]:
    """Return notes as comments may hold them: a file's name can have any characters."""
    return ["".join(letter if letter.isprintable() else "?" for letter in note) for note in notes]


def _check(name: str, text: str) -> None:
    """Raise UsageError if the text is no profile: NAME is then no name, all else is ours."""
    problems = [
        problem
        for problem in examine(name, text.encode(), None, _nothing_beside).problems
        if problem.severity == "error"
    ]
    if problems:
        raise UsageError(f"{name!r} makes no profile: {problems[0].key}: {problems[0].message}")


def _nothing_beside(file: str) -> bytes:
    raise FileNotFoundError(file)
