"""Layer 2: encrypted advertisements to plain bodies: BTHome v2, MiBeacon v4/v5, Victron instant readout.

Sans-io: one object holds the key and the counter of one device. What opens looks like the device's unencrypted form, so
that one layout reads both. A key stands in no message, record, log or `repr`. Only decoding: nothing here seals.
"""

from __future__ import annotations

import re
from collections.abc import Callable
from typing import Any, Final, Protocol

import msgspec

from gateway.errors import UsageError
from gateway.frame import Element

KEY_BYTES: Final = 16  # AES-128 in all three
NO_KEY: Final = "no key"  # encrypted, and the device has been given none
WRONG_KEY: Final = "wrong key"  # its key does not open what it sent
REPLAYED: Final = "replayed"  # older than what the device has said before
NOT_ENCRYPTED: Final = "not encrypted"  # a plain message from a device that encrypts: somebody else's
CUT: Final = "cut"  # too short to be one
NO_ADDRESS: Final = "no address"  # the nonce needs the device's MAC address, which this system hides

_MAC: Final = re.compile(r"[0-9A-F]{2}(?::[0-9A-F]{2}){5}")


class Opened(msgspec.Struct, frozen=True, gc=False):
    """A body in its unencrypted form."""

    body: bytes
    is_repeat: bool = False  # its counter was heard before: the same message once more


class Cipher(Protocol):
    """What opens the advertisements of one device."""

    def decrypt(self, element: Element, body: bytes) -> Opened | str:
        """Return the plain body, or the few stable words why there is none. Other elements pass as they are."""
        ...


class _Keyed:
    def __init__(self, key: bytes) -> None:
        """Take the device's key; no bytes at all are no key. Raises: ValueError for any other length than 16."""
        if key and len(key) != KEY_BYTES:
            raise ValueError(f"a key has {KEY_BYTES} bytes, not {len(key)}")
        self._key = key

    def __repr__(self) -> str:
        return f"{type(self).__name__}({'a key' if self._key else NO_KEY})"


class BthomeCipher(_Keyed):
    """BTHome v2, AES-CCM with four bytes of MIC.

    Body of service data fcd2: [device info:1] [MAC:6, if its bit 1] [ciphertext] [counter:4] [MIC:4].
    Nonce: [MAC:6] [d2 fc] [device info:1] [counter:4]. Source: bthome.io, "Encryption".
    """

    _ENCRYPTED: Final = 0x01
    _WITH_MAC: Final = 0x02

    def __init__(self, key: bytes) -> None:
        """Take the device's key, or no bytes."""
        super().__init__(key)
        self._counter: int | None = None  # of the newest message that opened
        self._encrypts = False  # it has sent an encrypted message, and we have a key

    def decrypt(self, element: Element, body: bytes) -> Opened | str:
        """Return [device info, not encrypted] [MAC, if any] [objects]; an equal counter repeats, a lower is refused."""
        if element.service != "fcd2" or not body:
            return Opened(body)
        info = body[0]
        if not info & self._ENCRYPTED:
            return NOT_ENCRYPTED if self._encrypts else Opened(body)
        if not self._key:
            return NO_KEY
        self._encrypts = True
        start = 7 if info & self._WITH_MAC else 1
        if len(body) < start + 8:
            return CUT
        mac = body[1:7][::-1] if info & self._WITH_MAC else mac_of(element)
        if mac is None:
            return NO_ADDRESS
        nonce = mac + b"\xd2\xfc" + body[:1] + body[-8:-4]
        plain = _open_ccm(self._key, nonce, body[start:-8] + body[-4:], None)
        if plain is None:
            return WRONG_KEY
        counter = int.from_bytes(body[-8:-4], "little")
        if self._counter is not None and counter < self._counter:
            return REPLAYED
        is_repeat, self._counter = counter == self._counter, counter
        return Opened(bytes([info & ~self._ENCRYPTED]) + body[1:start] + plain, is_repeat)


class MibeaconCipher(_Keyed):
    """MiBeacon v4 and v5, AES-CCM with four bytes of MIC and 0x11 as associated data.

    Body of service data fe95: [frame control:2] [product:2] [counter:1] [MAC:6, if bit 4] [capability:1, if bit 5; two
    more if its bit 5] [ciphertext] [counter, high part:3] [MIC:4]. Nonce: [MAC, last byte first:6] [product:2]
    [counter:1] [counter, high part:3]. Source: Xiaomi IoT developer documentation, "MiBeacon protocol v5".
    """

    _ENCRYPTED: Final = 0x0008
    _WITH_MAC: Final = 0x0010
    _WITH_CAPABILITY: Final = 0x0020
    _CAPABLE_OF_IO: Final = 0x20  # of the capability byte

    def __init__(self, key: bytes) -> None:
        """Take the device's key, or no bytes."""
        super().__init__(key)
        self._counter: int | None = None  # of the newest message that opened

    def decrypt(self, element: Element, body: bytes) -> Opened | str:
        """Return the body with its objects plain, and its control bits so; counters as with BTHome."""
        control = int.from_bytes(body[:2], "little")
        if element.service != "fe95" or len(body) < 5 or not control & self._ENCRYPTED:
            return Opened(body)
        if not self._key:
            return NO_KEY
        start = self._objects_at(body, control)
        if len(body) < start + 7:
            return CUT
        mac = body[5:11] if control & self._WITH_MAC else (mac_of(element) or b"")[::-1]
        if not mac:
            return NO_ADDRESS
        nonce = mac + body[2:5] + body[-7:-4]
        plain = _open_ccm(self._key, nonce, body[start:-7] + body[-4:], b"\x11")
        if plain is None:
            return WRONG_KEY
        counter = int.from_bytes(body[4:5] + body[-7:-4], "little")
        if self._counter is not None and counter < self._counter:
            return REPLAYED
        is_repeat, self._counter = counter == self._counter, counter
        return Opened((control & ~self._ENCRYPTED).to_bytes(2, "little") + body[2:start] + plain, is_repeat)

    def _objects_at(self, body: bytes, control: int) -> int:
        start = 11 if control & self._WITH_MAC else 5
        if control & self._WITH_CAPABILITY:
            more = 2 if len(body) > start and body[start] & self._CAPABLE_OF_IO else 0
            start += 1 + more
        return start


class VictronCipher(_Keyed):
    """Victron instant readout, AES-CTR: no MIC, the key's first byte stands in front of the ciphertext.

    Body of manufacturer 02e1: [10] [length:1] [model:2] [record type:1] [nonce:2] [key check:1] [ciphertext]. The
    counter block is the nonce, little-endian, and counts so. Source: Victron Energy, "Extra manufacturer data".
    """

    _HEAD_BYTES: Final = 7

    def decrypt(self, element: Element, body: bytes) -> Opened | str:
        """Return [10] [length] [model:2] [record type] [nonce:2] [plain record]."""
        if element.manufacturer != 0x02E1 or body[:1] != b"\x10":
            return Opened(body)
        if not self._key:
            return NO_KEY
        if len(body) <= self._HEAD_BYTES + 1:
            return CUT
        if body[self._HEAD_BYTES] != self._key[0]:
            return WRONG_KEY
        sealed = body[self._HEAD_BYTES + 1 :]
        stream = _key_stream(self._key, int.from_bytes(body[5:7], "little"), len(sealed))
        plain = bytes(one ^ other for one, other in zip(sealed, stream, strict=True))
        return Opened(body[: self._HEAD_BYTES] + plain)


CIPHERS: Final[dict[str, Callable[[bytes], Cipher]]] = {
    "bthome2": BthomeCipher,
    "mibeacon": MibeaconCipher,
    "victron": VictronCipher,
}


def mac_of(element: Element) -> bytes | None:
    """Return the six bytes of "AA:BB:CC:DD:EE:FF", first byte first; None where the system shows another identity."""
    return bytes.fromhex(element.address.replace(":", "")) if _MAC.fullmatch(element.address) else None


def _open_ccm(key: bytes, nonce: bytes, sealed: bytes, associated: bytes | None) -> bytes | None:
    """Return what AES-CCM with a MIC of four bytes holds, None where the MIC says it is not by this key."""
    aead = _library("cryptography.hazmat.primitives.ciphers.aead")
    exceptions = _library("cryptography.exceptions")
    try:
        opened: bytes = aead.AESCCM(key, tag_length=4).decrypt(nonce, sealed, associated)
    except exceptions.InvalidTag:
        return None
    return opened


def _key_stream(key: bytes, nonce: int, size: int) -> bytes:
    """Return at least `size` bytes of AES-CTR whose counter is little-endian; the library's is big-endian."""
    ciphers = _library("cryptography.hazmat.primitives.ciphers")
    blocks = b"".join((nonce + index).to_bytes(16, "little") for index in range((size + 15) // 16))
    encryptor = ciphers.Cipher(ciphers.algorithms.AES(key), ciphers.modes.ECB()).encryptor()
    stream: bytes = encryptor.update(blocks)
    return stream[:size]


def _library(name: str) -> Any:
    from importlib import import_module

    try:
        return import_module(name)
    except ModuleNotFoundError as error:
        raise UsageError("encrypted advertisements need the `ble` extra: pip install 'tidegate[ble]'") from error
