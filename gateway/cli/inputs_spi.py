"""Layer 9: the format `spi` of `decode`: one whole transfer on each line.

{"tx": HEX, "rx": HEX, "t": seconds}; other keys are ignored, so that a profile's golden.jsonl can be read. Every line
gives exactly one message or one garbage; what is refused is what was read, or what was sent where that is a write.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from typing import Final

import msgspec

from gateway.cli.inputs import cut
from gateway.cli.inputs_modbus import Answer, Judged
from gateway.errors import UsageError
from gateway.frame import Garbage
from gateway.profile.build import CompiledProfile
from gateway.schema.transfer import Transfers


class Row(msgspec.Struct, frozen=True):
    """One line."""

    tx: str | None = None
    rx: str | None = None
    t: float | None = None


_ROW: Final = msgspec.json.Decoder(Row)


def spi_transfers(compiled: CompiledProfile, lines: Iterable[bytes | Garbage]) -> Iterator[Judged]:
    """Give what every line is. Raises: UsageError where the profile's device is on another bus."""
    if compiled.profile.link.bus != "spi":
        bus = compiled.profile.link.bus
        raise UsageError(f"--format spi needs a profile of bus spi; {compiled.profile.profile.id} is for {bus}")
    transfers = compiled.transfers()
    for line in lines:
        if isinstance(line, Garbage):
            yield None, line
            continue
        stripped = line.strip()
        if stripped and not stripped.startswith(b"#"):
            yield _judged(stripped, transfers)


def _judged(line: bytes, transfers: Transfers) -> Judged:
    """Return what a line is. Reasons: "not json", "no tx", "no rx", "not hex", and those of `Transfers.read`."""
    try:
        row = _ROW.decode(line)
    except (msgspec.DecodeError, UnicodeDecodeError, RecursionError):
        return None, cut(line, "not json")[0]
    if row.tx is None or row.rx is None:
        return row.t, cut(line, "no tx" if row.tx is None else "no rx")[0]
    try:
        tx, rx = bytes.fromhex(row.tx), bytes.fromhex(row.rx)
    except ValueError:
        return row.t, cut(line, "not hex")[0]
    found = transfers.read(tx, rx)
    return row.t, found if isinstance(found, Garbage) else Answer(*found, wire=rx)
