"""Layer 2: telegrams of a smart meter's P1 port.

["/"] [body: identification line, empty line, OBIS lines] ["!"] [CRC: four hex digits, from DSMR 4 on] [CR LF]

Source: DSMR 5.0.2 P1 companion standard, section 6.2: CRC-16/ARC over "/" to "!" inclusive. DSMR 2.2 and 3.0 end with
"!" and a line end (or silence); nothing vouches for such a telegram, so it is taken only when it is plain text that
begins with a manufacturer's three letters (IEC 62056-21, identification message), has a line with an OBIS code and does
not name its version, as all later ones do.
"""

from __future__ import annotations

import re

from gateway.errors import EncodeError
from gateway.framing.checks import check_of
from gateway.framing.sentences import SentenceFramer

_VERSION = b"1-3:0.2.8("  # OBIS code of the version, sent from DSMR 4 on
_IDENTIFICATION = re.compile(rb"[A-Za-z]{3}[\x20-\x7e]*\r?\n")
_OBIS_LINE = re.compile(rb"\n[0-9]{1,3}-[0-9]{1,3}:[0-9]{1,3}\.[0-9]{1,3}\.[0-9]{1,3}(?:[.*][0-9]{1,3})?\(")


class DsmrP1Framer(SentenceFramer):
    """Body = the text between "/" and "!", both left out."""

    def __init__(self, max_bytes: int) -> None:
        super().__init__(
            max_bytes,
            starts=b"/",
            mark=b"!",
            not_inside=b"",
            check=rb"(?:([0-9A-Fa-f]{4})|(?=[\r\n]))",
            check_begun=rb"[0-9A-Fa-f]{0,3}",
            check_at_end=rb"(?:([0-9A-Fa-f]{4})|(?=[\r\n]|\Z))",
            check_bytes=4,
            by_line=False,
        )
        self._crc = check_of("crc-16-arc").compute

    def _is_good(self, match: re.Match[bytes]) -> bool:
        body, digits = match[1], match[2]
        if digits is None:
            return _is_plausible(body)
        return self._crc(b"/" + body + b"!") == int(digits, 16)

    def encode(self, body: bytes) -> bytes:
        """Return the telegram with its CRC. Raises: EncodeError for bytes that cannot stand in one."""
        if not self._inside.fullmatch(body):
            raise EncodeError(
                f"a telegram holds at most {self._max_body_bytes} bytes, no '/', no '!'; this does not: {body[:40]!r}"
            )
        telegram = b"/" + body + b"!"
        return telegram + b"%04X\r\n" % self._crc(telegram)


def _is_plausible(body: bytes) -> bool:
    """Return whether a telegram without a CRC looks like one of before DSMR 4."""
    is_meter = _IDENTIFICATION.match(body) and _OBIS_LINE.search(body)
    return bool(is_meter) and body.isascii() and _VERSION not in body
