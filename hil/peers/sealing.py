"""The device's half of encrypted advertisements: what `gateway.schema.cipher` opens, sealed. Pure.

BTHome v2 and MiBeacon devices without a key say everything as it is; Victron's always encrypt.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from itertools import count
from typing import Any, Final, NamedTuple

from gateway.frame import Element
from gateway.profile.model import LinkSpec

MIC_BYTES: Final = 4
_BTHOME_ENCRYPTED, _BTHOME_WITH_MAC = 0x01, 0x02  # of the device information byte
_MI_ENCRYPTED, _MI_WITH_MAC, _MI_WITH_CAPABILITY = 0x08, 0x10, 0x20  # of the frame control
_MI_CAPABLE_OF_IO: Final = 0x20  # of the capability byte
_VICTRON_HEAD_BYTES: Final = 7


class Sealed(NamedTuple):
    """What goes over the air."""

    body: bytes
    encrypted_from: int | None = None  # byte of the body; None: it is plain


class Sealer:
    """Seals what one device says; its counter is one higher each time."""

    def __init__(self, link: LinkSpec, address: str, first: int = 1) -> None:
        """Take a link of a checked profile, the device's address, and the counter of what it seals first.

        Raises: ValueError for a key that is missing.
        """
        self._key = bytes.fromhex(link.key or "") if link.cipher != "none" else b""
        self._mac = bytes.fromhex(address.replace(":", ""))
        self._counter: Iterator[int] = count(first)
        kinds: dict[str, Callable[[Element, bytes], Sealed]] = {
            "bthome2": self._bthome,
            "mibeacon": self._mibeacon,
            "victron": self._victron,
        }
        if link.cipher == "victron" and not self._key:
            raise ValueError("the device encrypts all that it says; give its key: params={'key': '<32 hex digits>'}")
        self._seal = kinds[link.cipher] if self._key else _plain

    def seal(self, element: Element, body: bytes) -> Sealed:
        """Return a body as it is encrypted; elements of other kinds pass."""
        return self._seal(element, body)

    def _bthome(self, element: Element, body: bytes) -> Sealed:
        """Return [device info, encrypted] [MAC, if any] [ciphertext] [counter:4] [MIC:4]."""
        if element.service != "fcd2" or not body:
            return Sealed(body)
        info = bytes([body[0] | _BTHOME_ENCRYPTED])
        start = 7 if body[0] & _BTHOME_WITH_MAC else 1
        mac = body[1:7][::-1] if start == 7 else self._mac
        counter = (next(self._counter) % 2**32).to_bytes(4, "little")
        both = _sealed_ccm(self._key, mac + b"\xd2\xfc" + info + counter, body[start:], None)
        return Sealed(info + body[1:start] + both[:-MIC_BYTES] + counter + both[-MIC_BYTES:], start)

    def _mibeacon(self, element: Element, body: bytes) -> Sealed:
        """Return [head, encrypted] [ciphertext] [counter, high part:3] [MIC:4]; the body has the low part."""
        if element.service != "fe95" or len(body) < 5:
            return Sealed(body)
        start = 5
        if body[0] & _MI_WITH_MAC:
            start += 6
        if body[0] & _MI_WITH_CAPABILITY:
            start += 3 if body[start] & _MI_CAPABLE_OF_IO else 1
        mac = body[5:11] if body[0] & _MI_WITH_MAC else self._mac[::-1]
        counter = (next(self._counter) % 2**24).to_bytes(3, "little")
        both = _sealed_ccm(self._key, mac + body[2:5] + counter, body[start:], b"\x11")
        head = bytes([body[0] | _MI_ENCRYPTED]) + body[1:start]
        return Sealed(head + both[:-MIC_BYTES] + counter + both[-MIC_BYTES:], start)

    def _victron(self, element: Element, body: bytes) -> Sealed:
        """Return [10] [length] [model:2] [record type] [nonce:2] [key check] [ciphertext]."""
        if element.manufacturer != 0x02E1 or body[:1] != b"\x10":
            return Sealed(body)
        nonce = (next(self._counter) % 0x10000).to_bytes(2, "little")
        sealed = _sealed_ctr(self._key, nonce, body[_VICTRON_HEAD_BYTES:])
        return Sealed(body[:5] + nonce + self._key[:1] + sealed, _VICTRON_HEAD_BYTES)


def _plain(_element: Element, body: bytes) -> Sealed:
    return Sealed(body)


def _sealed_ccm(key: bytes, nonce: bytes, plain: bytes, associated: bytes | None) -> bytes:
    from cryptography.hazmat.primitives.ciphers.aead import AESCCM

    return AESCCM(key, tag_length=MIC_BYTES).encrypt(nonce, plain, associated)


def _sealed_ctr(key: bytes, nonce: bytes, plain: bytes) -> bytes:
    """Return AES-CTR with a little-endian counter that begins at the nonce; the library counts big-endian."""
    from cryptography.hazmat.primitives.ciphers import Cipher, algorithms, modes

    first = int.from_bytes(nonce, "little")
    blocks = b"".join((first + at).to_bytes(16, "little") for at in range(-(-len(plain) // 16)))
    encryptor: Any = Cipher(algorithms.AES(key), modes.ECB()).encryptor()  # noqa: S305 - makes the stream of CTR
    return bytes(a ^ b for a, b in zip(plain, encryptor.update(blocks), strict=False))
