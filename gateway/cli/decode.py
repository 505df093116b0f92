"""Layer 9: `tidegate decode`: recorded bytes to typed values, one JSON line a message."""

from __future__ import annotations

import os
import sys
from collections.abc import Callable, Iterable, Iterator
from pathlib import Path
from typing import TYPE_CHECKING, Any, Final

import click

from gateway.cli import EXIT_NO
from gateway.cli.answers import Answers
from gateway.cli.inputs import Item, chunks, lines, opened
from gateway.cli.inputs_lines import parse_candump
from gateway.cli.inputs_select import FORMATS, LOG_FORMATS, Bodies, format_of, items_of, items_of_hex, joined_items
from gateway.cli.output import Progress, Records
from gateway.errors import UsageError
from gateway.frame import Address, Element, Garbage
from gateway.profile.build import CompiledProfile
from gateway.profile.load import find_profile, load_profile
from gateway.registry import transforms_of
from gateway.schema.plan import ABSENT, Refused, Row
from gateway.taint import TRUST_CASE, TRUST_NAN, TRUST_TRUNCATED

if TYPE_CHECKING:
    from gateway.cli.inputs_modbus import Answer

_OF_THE_WIRE: Final = TRUST_TRUNCATED | TRUST_CASE | TRUST_NAN  # marks of what came, not of what it means
Reading = tuple[str, dict[str, Any], int]  # message, values by name, taint bits


class Interpreter:
    """Bodies of one profile to values, or the reason why not."""

    def __init__(self, compiled: CompiledProfile, *, raw: bool = False, answers: Answers | None = None) -> None:
        """Take the profile, whether values are wanted as on the wire, and what tells whose answer a body is."""
        self.compiled = compiled
        self._answers = answers
        self._match = compiled.match
        self._plans = compiled.messages
        self._memory = compiled.memory()
        self._decoders: dict[str, Callable[[bytes], Row]] = {}
        self._unsealer = compiled.unsealer()
        self._raw = raw
        self._is_can = compiled.profile.link.bus == "can"

    def read(self, body: bytes, address: Address) -> Reading | str:
        """Return message, values and taints of a body, or the few words why it is refused."""
        if self._unsealer is not None and isinstance(address, Element):
            opened = self._unsealer.open(body, address)
            if isinstance(opened, str):
                return opened
            body = opened.body
        name = self._match(body, address)
        if name is None:
            answer = self._answers.find(body) if self._answers else None
            if answer is None:
                known = not self._is_can or (isinstance(address, int) and self.compiled.knows_id(address))
                return "unknown" if known else "unknown id"
            name, body = answer
        if self.compiled.sees_company_id:
            body = self.compiled.body_seen(name, body, address)
        return self.read_as(name, body)

    def read_as(self, name: str, body: bytes) -> Reading | str:
        """Return message, values and taints of a body known to be message `name`, or why it is refused."""
        plan = self._plans[name]
        decode = self._decoders.get(name)
        if decode is None:
            decode = self._decoders[name] = self._memory.decoder(name)
        try:
            row = decode(body)
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


def write_pairs(
    found: Iterable[tuple[float | None, Answer | Garbage]], interpreter: Interpreter, records: Records
) -> None:
    """Decode and write every pair of request and answer: exactly one record each."""
    for t, judged in found:
        if isinstance(judged, Garbage):
            records.garbage(t, None, judged.raw, judged.reason)
            continue
        reading = interpreter.read_as(judged.message, judged.body)
        if isinstance(reading, str):
            records.garbage(t, None, judged.wire, reading)
        else:
            records.message(t, None, *reading)


@click.command()
@click.argument("profile")
@click.argument("file", default="-")
@click.option(
    "--format",
    "form",
    type=click.Choice(FORMATS),
    help="How FILE is written. Default: by its suffix (.hex .bin .candump .jsonl .asc .blf .trc), "
    "else by the profile's bus: uart bin, can candump, ble adv or gatt, spi spi.",
)
@click.option("--hex", "hex_text", metavar="HEX", help="Decode these bytes instead of a file.")
@click.option("--payload", is_flag=True, help="Bytes are message bodies already: no framing.")
@click.option("--address", metavar="A", help="CAN id (123, 18FEF100) or BLE address of bytes that carry none.")
@click.option("--param", "params", multiple=True, metavar="NAME=VALUE", help="A parameter of the profile.")
@click.option(
    "--key", metavar="HEX", help="The device's key, for encrypted advertisements: the same as --param key=HEX."
)
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
    key: str | None,
    raw: bool,
) -> None:
    """Decode recorded bytes with PROFILE: a file, a shipped name, or a .dbc.

    FILE is a log or capture, "-" standard input. Formats: hex (a line goes through the framing), bin (the raw stream),
    candump (log or screen format), adv (BLE advertisements as JSON), gatt ({"characteristic", "hex"} a line),
    modbus ({"request", "response"} a line), spi ({"tx", "rx"}, a whole transfer a line; calibration first),
    jsonl ({"hex", "t", "address"} a line), asc, blf, trc (CAN logs of other programs). In raw streams, what a profile
    only asks for is known by the request seen before it, or by its length.

    Output: {"n","t","address","message","values","taints"}, or {"n","t","address","garbage","reason"} for what is
    refused. Exit 0: all decoded. 1: something was refused. 2: bad usage, profile or DBC.
    """
    if hex_text is not None and file != "-":
        raise click.UsageError("give either FILE or --hex")
    if hex_text is not None and form not in (None, "hex"):
        raise click.UsageError(f"--hex is not {form}")
    given = params_of(params, key)
    loaded = load_profile(find_profile(profile), given)
    compiled = CompiledProfile(loaded, transforms_of(loaded))
    bodies = Bodies(compiled, payload=payload, address=address)
    records = Records(sys.stdout.buffer)
    interpreter = Interpreter(compiled, raw=raw, answers=Answers(compiled.profile, given, payload=payload))
    try:
        if hex_text is not None:
            write_records(items_of_hex(bodies, _checked_hex(hex_text)), interpreter, bodies, records)
        else:
            _decode_file(file, form or format_of(file, compiled.profile.link), interpreter, bodies, records)
        records.flush()
    except BrokenPipeError:  # the reader has seen enough
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
        return
    if records.refused:
        ctx.exit(EXIT_NO)


def params_of(texts: Iterable[str], key: str | None = None) -> dict[str, object]:
    """Return NAME=VALUE options, and a key given by itself, as a table. Raises: UsageError."""
    found: dict[str, object] = {} if key is None else {"key": key}
    for text in texts:
        name, equals, value = text.partition("=")
        if not equals or not name:
            raise UsageError(f"--param {text[:3]!r}...: write NAME=VALUE")
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
            if form == "modbus":
                from gateway.cli.inputs_modbus import pairs

                write_pairs(pairs(bodies.profile, lines(pieces)), interpreter, records)
            elif form == "spi":
                from gateway.cli.inputs_spi import spi_transfers

                write_pairs(spi_transfers(interpreter.compiled, lines(pieces)), interpreter, records)
            else:
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
    stripped = (line.strip() for line in first[:4096].split(b"\n"))
    line = next((line for line in stripped if line and not line.startswith(b"#")), b"")
    if not line:
        return None
    if line.startswith(b"{"):
        if b'"tx"' in line and b'"rx"' in line:
            return "spi"
        if b'"request"' in line and b'"response"' in line:
            return "modbus"
        if b'"characteristic"' in line:
            return "gatt"
        return "adv" if b'"manufacturer_data"' in line or b'"service_data"' in line else "jsonl"
    if parse_candump(line)[0][1] is not None:  # it has a CAN id
        return "candump"
    return "hex" if all(character in b"0123456789abcdefABCDEF " for character in line) else None
