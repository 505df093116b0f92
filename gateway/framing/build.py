"""Layer 2: from a profile's `[framing]` to the framer it describes."""

from __future__ import annotations

from gateway.framing.base import Framer
from gateway.framing.cobs import CobsFramer
from gateway.framing.hdlc import HdlcFramer
from gateway.framing.identity import IdentityFramer
from gateway.framing.length import FixedFramer, LengthFramer
from gateway.framing.line import LineFramer
from gateway.framing.nmea0183 import Nmea0183Framer
from gateway.framing.seal import seal_of
from gateway.framing.silence import SilenceFramer
from gateway.framing.slip import SlipFramer
from gateway.framing.spec import Cobs, Fixed, FramingSpec, Gap, Hdlc, Length, Line, Nmea0183, Slip


def build_framer(spec: FramingSpec | None) -> Framer:
    """Return a new framer; identity for None and for the CAN transports, which join whole frames (`build_joiner`).

    `spec` is taken to be right (`rules.framing_problems` finds none). Raises: UsageError for an unknown checksum.
    """
    match spec:
        case Cobs():
            return CobsFramer(spec.max, seal_of(spec.check))
        case Slip():
            return SlipFramer(spec.max, seal_of(spec.check))
        case Hdlc():
            return HdlcFramer(spec)
        case Gap():
            return SilenceFramer(spec.max, seal_of(spec.check))
        case Line():
            return LineFramer(bytes.fromhex(spec.end), spec.encoding, spec.max)
        case Length():
            return LengthFramer(spec)
        case Fixed():
            return FixedFramer(spec)
        case Nmea0183():
            return Nmea0183Framer(spec.start, spec.max)
        case _:
            return IdentityFramer()
