"""Layer 9: `tidegate monitor`: what comes in on a port, raw beside decoded. Takes the port; no gateway is involved."""

from __future__ import annotations

import asyncio
import json
import sys
from collections.abc import Iterator
from typing import Any, Final, TextIO

import click

from gateway.cli.decode import Interpreter, params_of
from gateway.cli.inputs_lines import can_text
from gateway.cli.inputs_select import joiner_of
from gateway.cli.wire import BUSES, framing_of, link_of, make_port
from gateway.errors import UsageError
from gateway.frame import CAN_ERROR, CAN_REMOTE, Address, Batch, Element, Garbage
from gateway.framing.base import Framer
from gateway.framing.build import build_framer
from gateway.framing.spec import Gap
from gateway.notation import duration_ns
from gateway.plain import clock_text
from gateway.port import FilteringPort, Port
from gateway.profile.build import CompiledProfile
from gateway.profile.load import find_profile, load_profile
from gateway.runtime.listening import wanted_by
from gateway.taint import names_of

SILENCE_S: Final = 1.0  # after which pending bytes are given up, as in a running gateway
_ROW_BYTES: Final = 16
_INDENT: Final = " " * 15


class View:
    """Batches of one port to lines for people or programs. Knows the framing and the profile, if there are any."""

    def __init__(self, framer: Framer | None, compiled: CompiledProfile | None, out: TextIO, *, as_json: bool) -> None:
        self._framer = framer
        self._interpreter = Interpreter(compiled) if compiled else None
        self._joiner = joiner_of(compiled) if compiled else None
        self._units = _units_of(compiled)
        self._out = out
        self._as_json = as_json

    def show(self, batch: Batch) -> None:
        """Write what one read brought."""
        addresses = batch.addresses or [None] * len(batch)
        stamps = batch.stamps_ns or [batch.wall_ns] * len(batch)
        if batch.dropped:
            self._line({"t": batch.wall_ns / 1e9, "dropped": batch.dropped}, f"{_INDENT}{batch.dropped} frames lost")
        for payload, address, stamp_ns in zip(batch.payloads, addresses, stamps, strict=True):
            self._raw(payload, address, stamp_ns)
            if self._framer is not None:
                self._pieces(self._framer.feed(payload), address, stamp_ns)
            elif self._joiner is not None and isinstance(address, int) and not address & (CAN_ERROR | CAN_REMOTE):
                for whole in self._joiner.feed(address, payload, stamp_ns):
                    if isinstance(whole, Garbage):
                        self._pieces([whole], address, stamp_ns)
                    else:
                        self._pieces([whole.payload], whole.can_id, stamp_ns)
            elif self._interpreter is not None:
                self._pieces([payload], address, stamp_ns)
        self._out.flush()

    def silence(self, wall_ns: int) -> None:
        """The line fell silent or ended."""
        if self._framer is not None:
            self._pieces(self._framer.gap(), None, wall_ns)
            self._out.flush()

    def _raw(self, payload: bytes, address: Address, stamp_ns: int) -> None:
        shown = {"t": stamp_ns / 1e9, "address": address_text(address), "direction": "in", "hex": payload.hex()}
        self._line(shown, *_dump(payload, address, stamp_ns))

    def _pieces(self, pieces: list[bytes | Garbage], address: Address, stamp_ns: int) -> None:
        head = {"t": stamp_ns / 1e9, "address": address_text(address)}
        for piece in pieces:
            if isinstance(piece, Garbage):
                self._refused(head, piece.raw, piece.reason)
            elif self._interpreter is None:
                self._line(head | {"frame": piece.hex()}, f"{_INDENT}frame [{len(piece)}] {_short(piece)}")
            else:
                self._decoded(head, piece, address)

    def _decoded(self, head: dict[str, Any], body: bytes, address: Address) -> None:
        assert self._interpreter is not None
        if isinstance(address, int) and address & (CAN_ERROR | CAN_REMOTE):
            self._refused(head, body, "error frame" if address & CAN_ERROR else "remote")
            return
        found = self._interpreter.read(body, address)
        if isinstance(found, str):
            self._refused(head, body, found)
            return
        name, values, bits = found
        taints = names_of(bits)
        text = " ".join(f"{key}={_value(value)}{self._units.get((name, key), '')}" for key, value in values.items())
        marks = f" !{','.join(taints)}" if taints else ""
        self._line(head | {"message": name, "values": values, "taints": taints}, f"{_INDENT}{name} {text}{marks}")

    def _refused(self, head: dict[str, Any], raw: bytes, reason: str) -> None:
        self._line(head | {"garbage": raw.hex(), "reason": reason}, f"{_INDENT}refused, {reason}: {_short(raw)}")

    def _line(self, record: dict[str, Any], *text: str) -> None:
        if self._as_json:
            self._out.write(json.dumps(record, separators=(",", ":"), allow_nan=False) + "\n")
        else:
            self._out.writelines(f"{line}\n" for line in text)


@click.command()
@click.argument("port")
@click.option("--profile", metavar="PROFILE", help="Decode with this profile; its link and framing are used.")
@click.option("--framing", metavar="KIND", help="Find frames: cobs, slip, line, nmea0183 ..., or a whole [framing].")
@click.option("--baud", type=int, help="Instead of the profile's, or 9600.")
@click.option("--bus", type=click.Choice(BUSES), help="Where PORT does not tell.")
@click.option("--param", "params", multiple=True, metavar="NAME=VALUE", help="A parameter of the profile.")
@click.option("--json", "as_json", is_flag=True, help="One JSON object a line.")
@click.option("--seconds", type=click.FloatRange(min=0), help="Stop after so long.")
def command(
    *,
    port: str,
    profile: str | None,
    framing: str | None,
    baud: int | None,
    bus: str | None,
    params: tuple[str, ...],
    as_json: bool,
    seconds: float | None,
) -> None:
    """Show what comes in on PORT: raw bytes in hex, and beside them the frames and values found in them.

    PORT: /dev/ttyUSB0, usb:0403:6001, socket://host:port, can0, virtual:demo, hci0, replay:FILE. End it with Ctrl-C.

    For example `tidegate monitor /dev/ttyUSB0 --profile pms5003`, or `tidegate monitor can0`.

    Exit 2: bad usage or profile. 3: the port is not there, is taken, or went away.
    """
    compiled = CompiledProfile(load_profile(find_profile(profile), params_of(params))) if profile else None
    if framing is not None and compiled is not None:
        raise UsageError("give either --profile or --framing")
    link = link_of(port, compiled, bus, baud)
    if link.bus == "spi":
        raise UsageError(f"{port}: an SPI chip says nothing by itself; `tidegate run NAME=PROFILE@{port}` asks it")
    spec = framing_of(framing) if framing else compiled.profile.framing if compiled else None
    framer = build_framer(spec) if spec is not None and link.bus == "uart" else None
    silence_s = duration_ns(spec.silence) / 1e9 if isinstance(spec, Gap) else SILENCE_S
    view = View(framer, compiled, sys.stdout, as_json=as_json)
    try:
        opened = make_port(port, link)
        if compiled is not None and link.mode == "gatt" and isinstance(opened, FilteringPort):
            opened.listen_for(wanted_by([compiled.profile]))  # what the device shall notify
        asyncio.run(_watch(opened, view, silence_s, seconds))
    except KeyboardInterrupt:
        return


async def _watch(port: Port, view: View, silence_s: float, seconds: float | None) -> None:
    """Show until the end of the recording, of the time, or of the port (PortLostError)."""
    await port.open()
    wall_ns = 0
    try:
        async with asyncio.timeout(seconds):
            while True:
                batch = await _heard(port, silence_s)
                if batch is None:
                    view.silence(wall_ns)
                else:
                    wall_ns = batch.wall_ns
                    view.show(batch)
    except (TimeoutError, EOFError):
        view.silence(wall_ns)
    finally:
        await port.close()


async def _heard(port: Port, silence_s: float) -> Batch | None:
    timer = asyncio.timeout(silence_s)
    try:
        async with timer:
            return await port.read()
    except TimeoutError:
        if not timer.expired():
            raise
        return None


def address_text(address: Address) -> str | None:
    """Return a CAN id as candump writes it, a BLE address, what was sent on SPI, or None."""
    if isinstance(address, Element):
        return address.address
    if isinstance(address, bytes):
        return address.hex(" ")
    return None if address is None else can_text(address)


def _dump(payload: bytes, address: Address, stamp_ns: int) -> Iterator[str]:
    """Give `time < hex |text|`, 16 bytes a line; a packet is one line with its address and size."""
    clock = clock_text(stamp_ns / 1e9)
    if address is not None:
        kind = ""
        if isinstance(address, int) and address & CAN_REMOTE:
            kind = " remote"
        part = f" {_part(address)}" if isinstance(address, Element) else ""
        yield f"{clock} < {address_text(address)}{part} [{len(payload)}] {payload.hex(' ')}{kind}"
        return
    for at in range(0, len(payload), _ROW_BYTES):
        row = payload[at : at + _ROW_BYTES]
        text = "".join(chr(byte) if 0x20 <= byte < 0x7F else "." for byte in row)
        yield f"{clock if at == 0 else ' ' * 12} < {row.hex(' '):<{3 * _ROW_BYTES}}|{text}|"


def _part(element: Element) -> str:
    """Return which part of an advertisement, or of a device's values, the bytes are."""
    if element.manufacturer is not None:
        part = f"manufacturer {element.manufacturer:04x}"
    else:
        part = (
            f"service {element.service}" if element.service is not None else f"characteristic {element.characteristic}"
        )
    return part if element.rssi is None else f"{part}, {element.rssi} dBm"


def _short(raw: bytes) -> str:
    return raw[:64].hex(" ") + (f" ... ({len(raw)} bytes)" if len(raw) > 64 else "")


def _value(value: object) -> str:
    """Return a value without anything that a terminal would act on."""
    return json.dumps(value, allow_nan=False)


def _units_of(compiled: CompiledProfile | None) -> dict[tuple[str, str], str]:
    """Return " Cel" and the like by message and field, for what has a unit."""
    found: dict[tuple[str, str], str] = {}
    for name in compiled.profile.message if compiled else ():
        plan = compiled.messages[name] if compiled else None
        for field, units in zip(plan.names, plan.units, strict=True) if plan else ():
            if units != "1":
                found[name, field] = f" {units}"
    return found
