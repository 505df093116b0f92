"""Layer 9: `tidegate decode`: recorded bytes to typed values, one JSON line a message."""

from __future__ import annotations

import os
import sys
from collections.abc import Iterable, Iterator
from pathlib import Path
from typing import Any, Final

import click

from gateway.cli import EXIT_NO
from gateway.cli.answers import Answers
from gateway.cli.inputs import Item, chunks, opened
from gateway.cli.inputs_lines import parse_candump
from gateway.cli.inputs_select import FORMATS, LOG_FORMATS, Bodies, format_of, items_of, items_of_hex, joined_items
from gateway.cli.output import Progress, Records
from gateway.errors import UsageError
from gateway.frame import CAN_EXTENDED, Address, Garbage
from gateway.profile.build import CompiledProfile
from gateway.profile.load import find_profile, load_profile
from gateway.schema.match import is_extended
from gateway.schema.plan import ABSENT, Refused
from gateway.taint import TRUST_CASE, TRUST_NAN, TRUST_TRUNCATED

_OF_THE_WIRE: Final = TRUST_TRUNCATED | TRUST_CASE | TRUST_NAN  # marks of what came, not of what it means
Reading = tuple[str, dict[str, Any], int]  # message, values by name, taint bits


class Interpreter:
    """Bodies of one profile to values, or the reason why not."""

    def __init__(self, compiled: CompiledProfile, *, raw: bool = False, answers: Answers | None = None) -> None:
        """Take the profile, whether values are wanted as on the wire, and what tells whose answer a body is."""
        self._compiled = compiled
        self._answers = answers
        self._match = compiled.match
        self._plans = compiled.messages
        self._raw = raw
        self._is_can = compiled.profile.link.bus == "can"
        self._ids = {
            spec.when.can_id | (CAN_EXTENDED if is_extended(spec.when) else 0)
            for spec in compiled.profile.message.values()
            if spec.when.can_id is not None and spec.direction != "out"
        }

    def read(self, body: bytes, address: Address) -> Reading | str:
        """Return message, values and taints of a body, or the few words why it is refused."""
        name = self._match(body, address)
        if name is None:
            answer = self._answers.find(body) if self._answers else None
            if answer is None:
                return "unknown id" if self._is_can and address not in self._ids else "unknown"
            name, body = answer
        if self._compiled.sees_company_id:
            body = self._compiled.body_seen(name, body, address)
        plan = self._plans[name]
        try:
            row = plan.decode(body)
            if self._raw:
                return name, plan.decode_raw(body), row[-1] & _OF_THE_WIRE
        except Refused as refusal:
            return refusal.reason
        return name, {key: value for key, value in zip(plan.names, row, strict=False) if value is not ABSENT}, row[-1]


def write_records(items: Iterable[Item], interpreter: Interpreter, bodies: Bodies, records: Records) -> None:
    """Match, decode and write every item: exactly one record each."""
    read, write = interpreter.read, records.message
    for t, text, address, body in items:
        if isinstance(body, Garbage):
            records.garbage(t, text, body.raw, body.reason)
            continue
        found = read(body, address)
        if isinstance(found, str):
            records.garbage(t, text, bodies.wire(body), found)
        else:
            write(t, text, *found)


@click.command()
@click.argument("profile")
@click.argument("file", default="-")
@click.option(
    "--format",
    "form",
    type=click.Choice(FORMATS),
    help="How FILE is written. Default: by its suffix (.hex .bin .candump .jsonl .asc .blf .trc), "
    "else by the profile's bus: uart bin, can candump, ble adv, spi hex.",
)
@click.option("--hex", "hex_text", metavar="HEX", help="Decode these bytes instead of a file.")
@click.option("--payload", is_flag=True, help="Bytes are message bodies already: no framing.")
@click.option("--address", metavar="A", help="CAN id (123, 18FEF100) or BLE address of bytes that carry none.")
@click.option("--param", "params", multiple=True, metavar="NAME=VALUE", help="A parameter of the profile.")
@click.option("--raw", is_flag=True, help="Wire numbers before scale, labels and sentinels; internal fields too.")
@click.pass_context
def command(
    ctx: click.Context,
    *,
    profile: str,
    file: str,
    form: str | None,
    hex_text: str | None,
    payload: bool,
    address: str | None,
    params: tuple[str, ...],
    raw: bool,
) -> None:
    """Decode recorded bytes with PROFILE: a file, a shipped name, or a .dbc.

    FILE is a log or capture, "-" standard input. Formats: hex (a line goes through the framing), bin (the raw stream),
    candump (log or screen format), adv (BLE advertisements as JSON), jsonl ({"hex", "t", "address"} a line),
    asc, blf, trc (CAN logs of other programs). What a profile only asks for is known by the request seen before it,
    or by its length.

    Output: {"n","t","address","message","values","taints"}, or {"n","t","address","garbage","reason"} for what is
    refused. Exit 0: all decoded. 1: something was refused. 2: bad usage, profile or DBC.
    """
    if hex_text is not None and file != "-":
        raise click.UsageError("give either FILE or --hex")
    if hex_text is not None and form not in (None, "hex"):
        raise click.UsageError(f"--hex is not {form}")
    given = params_of(params)
    compiled = CompiledProfile(load_profile(find_profile(profile), given))
    bodies = Bodies(compiled, payload=payload, address=address)
    records = Records(sys.stdout.buffer)
    interpreter = Interpreter(compiled, raw=raw, answers=Answers(compiled.profile, given, payload=payload))
    try:
        if hex_text is not None:
            write_records(items_of_hex(bodies, _checked_hex(hex_text)), interpreter, bodies, records)
        else:
            _decode_file(file, form or format_of(file, bodies.bus), interpreter, bodies, records)
        records.flush()
    except BrokenPipeError:  # the reader has seen enough
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
        return
    if records.refused:
        ctx.exit(EXIT_NO)


def params_of(texts: Iterable[str]) -> dict[str, object]:
    """Return NAME=VALUE options as a table. Raises: UsageError."""
    found: dict[str, object] = {}
    for text in texts:
        name, equals, value = text.partition("=")
        if not equals or not name:
            raise UsageError(f"--param {text!r}: write NAME=VALUE")
        found[name] = value
    return found


def _checked_hex(text: str) -> bytes:
    try:
        return bytes.fromhex(text)
    except ValueError as error:
        raise click.UsageError(f"--hex {text[:40]!r} is not hex: {error}") from None


def _decode_file(file: str, form: str, interpreter: Interpreter, bodies: Bodies, records: Records) -> None:
    progress = Progress()

    def before_read(total_bytes: int) -> None:
        records.flush()
        progress.tell(total_bytes, records.count)

    try:
        if form in LOG_FORMATS:
            from gateway.cli.inputs_logs import log_items

            items = log_items(Path(file), form, before_read)
            items = items if bodies.joiner is None else joined_items(items, bodies.joiner)
            write_records(items, interpreter, bodies, records)
            return
        with opened(file) as stream:
            first, pieces = _first(chunks(stream, before_read))
            write_records(items_of(bodies, form, pieces), interpreter, bodies, records)
    finally:
        progress.end()
    if records.count and records.count == records.refused:
        _hint(form, first)


def _first(pieces: Iterator[bytes]) -> tuple[bytes, Iterator[bytes]]:
    first = next(pieces, b"")

    def again() -> Iterator[bytes]:
        if first:
            yield first
        yield from pieces

    return first, again()


def _hint(form: str, first: bytes) -> None:
    """Say which format the input looks like, where nothing at all decoded as `form`."""
    likely = likely_format(first)
    if likely and likely != form:
        click.echo(f"nothing decoded as {form}; the input looks like {likely}: try --format {likely}", err=True)


def likely_format(first: bytes) -> str | None:
    """Return the text format that the beginning of an input has all the marks of."""
    lines = (line.strip() for line in first[:4096].split(b"\n"))
    line = next((line for line in lines if line and not line.startswith(b"#")), b"")
    if not line:
        return None
    if line.startswith(b"{"):
        return "adv" if b'"manufacturer_data"' in line or b'"service_data"' in line else "jsonl"
    if parse_candump(line)[0][1] is not None:  # it has a CAN id
        return "candump"
    return "hex" if all(character in b"0123456789abcdefABCDEF " for character in line) else None
