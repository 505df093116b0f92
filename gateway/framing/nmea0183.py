r"""Layer 2: NMEA 0183 sentences.

["$" or "!"] [body] ["*"] [xor of the body: two hex digits, either case] [CR LF]

Source: NMEA 0183 (IEC 61162-1) sentence structure; AIVDM sentences begin with "!". The check is required. Comments and
tag blocks (`\...\`) are garbage.
"""

from __future__ import annotations

import re

from gateway.errors import EncodeError
from gateway.framing.checks import check_of
from gateway.framing.sentences import SentenceFramer


class Nmea0183Framer(SentenceFramer):
    """Sentences that begin with one of the characters in `start`; the first of them is written on building."""

    def __init__(self, start: str, max_bytes: int) -> None:
        super().__init__(
            max_bytes,
            starts=start.encode("ascii"),
            mark=b"*",
            not_inside=b"\r\n",
            check=rb"([0-9A-Fa-f]{2})",
            check_begun=rb"[0-9A-Fa-f]?",
            check_bytes=2,
            by_line=True,
        )
        self._checksum = check_of("xor-8").compute

    def _is_good(self, match: re.Match[bytes]) -> bool:
        return self._checksum(match[1]) == int(match[2], 16)

    def encode(self, body: bytes) -> bytes:
        """Return the sentence with its line end. Raises: EncodeError for bytes that cannot stand in one."""
        if not self._inside.fullmatch(body):
            raise EncodeError(
                f"a sentence holds at most {self._max_body_bytes} bytes, none of them its start, '*' or a line end; "
                f"this does not: {body[:40]!r}"
            )
        return self._starts[0] + body + b"*%02X\r\n" % self._checksum(body)
