from __future__ import annotations

import pytest

from gateway.errors import UsageError
from gateway.frame import CAN_EXTENDED
from gateway.framing.build import build_framer, build_joiner
from gateway.framing.identity import IdentityFramer
from gateway.framing.spec import J1939, CheckSpec, Cobs, Hdlc, IsoTp, Nmea2000, Slip
from gateway.framing.transport import Pdu


def test_every_framer_is_made_anew():
    spec = Cobs()
    first = build_framer(spec)
    first.feed(b"\x05ab")
    assert build_framer(spec).statistics().pending_bytes == 0


@pytest.mark.parametrize("spec", [None, J1939(), Nmea2000(), IsoTp(tx=1, rx=2)])
def test_buses_that_deliver_whole_frames_are_not_framed(spec):
    assert isinstance(build_framer(spec), IdentityFramer)


@pytest.mark.parametrize("kind", [Cobs, Slip, Hdlc])
def test_an_unknown_check_is_refused(kind):
    with pytest.raises(UsageError, match="no checksum is called"):
        build_framer(kind(check=CheckSpec(kind="nope")))


def test_only_can_transports_have_a_joiner():
    assert build_joiner(None) is None
    assert build_joiner(Cobs()) is None
    assert build_joiner(J1939()) is not None


def test_the_fast_pgns_are_told_to_nmea_2000_alone():
    can_id = CAN_EXTENDED | 0x09F8051C
    frame = b"\x00\x01a\xff\xff\xff\xff\xff"
    [joined] = build_joiner(Nmea2000(), [129029]).feed(can_id, frame, 0)
    assert joined == Pdu(129029, 0x1C, 255, 2, b"a", can_id)
    [single] = build_joiner(J1939(), [129029]).feed(can_id, frame, 0)
    assert single.payload == frame
