"""Layer 2: from a profile's `[framing]` to the framer or joiner it describes."""

from __future__ import annotations

from collections.abc import Callable, Collection
from typing import Any, Final

from gateway.framing.base import Framer
from gateway.framing.cobs import CobsFramer
from gateway.framing.dsmr import DsmrP1Framer
from gateway.framing.hdlc import HdlcFramer
from gateway.framing.identity import IdentityFramer
from gateway.framing.isotp import IsoTpJoiner
from gateway.framing.length import FixedFramer, LengthFramer
from gateway.framing.line import LineFramer
from gateway.framing.modbus import ModbusRtuFramer
from gateway.framing.nmea0183 import Nmea0183Framer
from gateway.framing.seal import seal_of
from gateway.framing.silence import SilenceFramer
from gateway.framing.slip import SlipFramer
from gateway.framing.spec import (
    J1939,
    Cobs,
    DsmrP1,
    Fixed,
    FramingSpec,
    Gap,
    Hdlc,
    IsoTp,
    Length,
    Line,
    ModbusRtu,
    Nmea0183,
    Nmea2000,
    Slip,
    VeDirect,
)
from gateway.framing.transport import Joiner
from gateway.framing.vedirect import VeDirectFramer

CanJoiner = Joiner | IsoTpJoiner

_MAKERS: Final[dict[type, Callable[[Any], Framer]]] = {
    Cobs: lambda spec: CobsFramer(spec.max, seal_of(spec.check)),
    Slip: lambda spec: SlipFramer(spec.max, seal_of(spec.check)),
    Hdlc: HdlcFramer,
    Line: lambda spec: LineFramer(bytes.fromhex(spec.end), spec.encoding, spec.max),
    Length: LengthFramer,
    Fixed: FixedFramer,
    Gap: lambda spec: SilenceFramer(spec.max, seal_of(spec.check)),
    ModbusRtu: lambda spec: ModbusRtuFramer(spec.max),
    Nmea0183: lambda spec: Nmea0183Framer(spec.start, spec.max),
    VeDirect: lambda spec: VeDirectFramer(spec.max),
    DsmrP1: lambda spec: DsmrP1Framer(spec.max),
}


def build_framer(spec: FramingSpec | None) -> Framer:
    """Return a new framer; identity for None and for the CAN transports, which join whole frames (`build_joiner`).

    `spec` is taken to be right (`rules.framing_problems` finds none). Raises: UsageError for an unknown checksum.
    """
    make = _MAKERS.get(type(spec))
    return make(spec) if make else IdentityFramer()


def build_joiner(spec: FramingSpec | None, fast_pgns: Collection[int] = ()) -> CanJoiner | None:
    """Return what joins the segments of a CAN transport; `fast_pgns` come as fast packets. None for other kinds."""
    match spec:
        case IsoTp():
            return IsoTpJoiner(spec)
        case J1939():
            return Joiner()
        case Nmea2000():
            return Joiner(fast_pgns)
        case _:
            return None
