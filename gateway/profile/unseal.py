"""Layer 3: the encrypted advertisements of a profile's devices: one cipher for each address, by `link.cipher`.

`decode` and the drivers open elements here, before they are matched.
"""

from __future__ import annotations

from typing import Final

from gateway.frame import Element
from gateway.profile.model import LinkSpec
from gateway.schema.cipher import CIPHERS, Cipher, Opened

MAX_DEVICES: Final = 1024  # whose counters are known; the one silent longest is forgotten first


class Unsealer:
    """Opens elements of any number of devices that share one key."""

    def __init__(self, link: LinkSpec) -> None:
        """Take a checked link whose `cipher` is not "none"; an empty `key` is no key."""
        self._make = CIPHERS[link.cipher]
        self._key = bytes.fromhex(link.key or "")
        self._ciphers: dict[str, Cipher] = {}

    def open(self, body: bytes, element: Element) -> Opened | str:
        """Return the plain body, or why there is none: "no key", "wrong key", "replayed" ... (`schema.cipher`)."""
        cipher = self._ciphers.pop(element.address, None)
        if cipher is None:
            cipher = self._make(self._key)
            if len(self._ciphers) >= MAX_DEVICES:
                del self._ciphers[next(iter(self._ciphers))]
        self._ciphers[element.address] = cipher
        return cipher.decrypt(element, body)
