"""Layer 9: `tidegate send`: bytes to a port, raw or framed. Takes the port; no gateway is involved."""

from __future__ import annotations

import asyncio

import click

from gateway.cli.decode import params_of
from gateway.cli.inputs_lines import can_address, can_text
from gateway.cli.wire import BUSES, framing_of, link_of, make_port
from gateway.errors import UsageError
from gateway.frame import Address
from gateway.framing.build import build_framer
from gateway.port import Port
from gateway.profile.build import CompiledProfile
from gateway.profile.load import find_profile, load_profile


@click.command()
@click.argument("port")
@click.argument("hex_text", metavar="HEX")
@click.option("--profile", metavar="PROFILE", help="HEX is a body: frame it as this profile says.")
@click.option("--framing", metavar="KIND", help="HEX is a body: frame it (cobs, slip, ..., or a whole [framing]).")
@click.option("--baud", type=int, help="Instead of the profile's, or 9600.")
@click.option("--bus", type=click.Choice(BUSES), help="Where PORT does not tell.")
@click.option("--address", metavar="ID", help="CAN id: 3 hex digits, or 8 for an extended one.")
@click.option("--param", "params", multiple=True, metavar="NAME=VALUE", help="A parameter of the profile.")
def command(
    *,
    port: str,
    hex_text: str,
    profile: str | None,
    framing: str | None,
    baud: int | None,
    bus: str | None,
    address: str | None,
    params: tuple[str, ...],
) -> None:
    """Send the bytes HEX to PORT, as they are or framed.

    What `tidegate encode` prints can be sent. PORT is written as for `tidegate monitor`.

    For example `tidegate send /dev/ttyUSB0 "01 00" --framing cobs`, or `tidegate send can0 0102 --address 201`.

    Exit 2: bad usage. 3: the port is not there, is taken, or takes nothing.
    """
    try:
        data = bytes.fromhex(hex_text)
    except ValueError as error:
        raise UsageError(f"{hex_text[:40]!r} is not hex: {error}") from None
    if framing is not None and profile is not None:
        raise UsageError("give either --profile or --framing")
    compiled = CompiledProfile(load_profile(find_profile(profile), params_of(params))) if profile else None
    link = link_of(port, compiled, bus, baud)
    if (link.bus == "can") != (address is not None):
        raise UsageError("a CAN frame needs --address" if link.bus == "can" else f"bus {link.bus!r} has no addresses")
    target: Address = can_address(address) if address else None
    if compiled is not None:
        data = compiled.framer().encode(data)
    elif framing is not None:
        data = build_framer(framing_of(framing)).encode(data)
    asyncio.run(_send(make_port(port, link), data, target))
    where = f" with id {can_text(target)}" if isinstance(target, int) else ""
    click.echo(f"sent {len(data)} bytes to {port}{where}", err=True)


async def _send(port: Port, data: bytes, address: Address) -> None:
    await port.open()
    try:
        await port.write(data, address)
    finally:
        await port.close()
