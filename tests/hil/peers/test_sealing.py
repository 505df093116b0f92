"""The device's half of encrypted advertisements: vectors of others byte for byte, and the gateway opens all."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from gateway.frame import Element
from gateway.profile.model import LinkSpec
from gateway.schema.cipher import CIPHERS, Opened
from hil.peers.sealing import Sealer

ADDRESS = "54:48:E6:8F:80:A5"
KEY = "231d39c1d7cc1ab1aee224cd096db932"
BTHOME, MIBEACON, VICTRON = (
    Element(ADDRESS, service="fcd2"),
    Element(ADDRESS, service="fe95"),
    Element(ADDRESS, manufacturer=0x02E1),
)


def link(cipher: str, key: str = KEY) -> LinkSpec:
    return LinkSpec(bus="ble", mode="advertisement", cipher=cipher, key=key)


@pytest.mark.parametrize(
    ("cipher", "key", "element", "first", "plain", "sealed"),
    [
        # bthome.io, "Encryption"
        ("bthome2", KEY, BTHOME, 0x33221100, "4002ca0903bf13", "41a47266c95f730011223378237214"),
        # xiaomi-ble, tests/test_parser.py: test_Xiaomi_LYWSD03MMC_encrypted
        (
            "mibeacon", "e9ea895fac7cca6d30532432a516f3a8", MIBEACON, 0x26,
            "50585b0550f4830238c1a4061002d301", "58585b0550f4830238c1a495ef58763c26000097e2abb5",
        ),
        # xiaomi-ble: no address inside
        (
            "mibeacon", "4d8f1373fb4d3bab557d0ebd1c78f8c4", Element("A4:C1:38:80:15:07", service="fe95"), 0x12,
            "4059b5553a0148049a99c941", "4859b5553a8699bda053448f1200005b046d6a",
        ),
    ],
)  # fmt: skip
def test_a_vector_of_others_is_sealed_byte_for_byte(
    cipher: str, key: str, element: Element, first: int, plain: str, sealed: str
) -> None:
    address = element.address
    assert Sealer(link(cipher, key), address, first).seal(element, bytes.fromhex(plain)).body.hex() == sealed


def test_a_record_of_victron_is_sealed_as_it_was_opened() -> None:
    key, sealed = "aff4d0995b7d1e176c0c33ecb9e70dcd", "100289a302b040af925d09a4d89aa0128bdef48c6298a9"
    opened = CIPHERS["victron"](bytes.fromhex(key)).decrypt(VICTRON, bytes.fromhex(sealed))
    assert isinstance(opened, Opened)
    assert Sealer(link("victron", key), ADDRESS, 0x40B0).seal(VICTRON, opened.body).body.hex() == sealed


BODIES = {
    "bthome2": (
        BTHOME,
        st.builds(bytes.__add__, st.sampled_from([b"\x40", b"\x44", b"\x42MACMAC"]), st.binary(max_size=20)),
    ),
    "mibeacon": (
        MIBEACON,
        st.builds(
            bytes.__add__,
            st.sampled_from([b"\x40\x50PPc", b"\x50\x50PPcMACMAC", b"\x60\x50PPc\x00", b"\x70\x50PPcMACMAC\x20io"]),
            st.binary(max_size=20),
        ),
    ),
    "victron": (VICTRON, st.builds(bytes.__add__, st.just(b"\x10\x02MMR"), st.binary(min_size=3, max_size=60))),
}


@pytest.mark.parametrize("cipher", sorted(BODIES))
@given(data=st.data())
def test_what_is_sealed_the_gateway_opens_and_never_finds_replayed(cipher: str, data: st.DataObject) -> None:
    element, bodies = BODIES[cipher]
    sealer, opener = Sealer(link(cipher), ADDRESS), CIPHERS[cipher](bytes.fromhex(KEY))
    wrong = CIPHERS[cipher](bytes(byte ^ 1 for byte in bytes.fromhex(KEY)))
    for body in data.draw(st.lists(bodies, min_size=1, max_size=5)):
        sealed = sealer.seal(element, body).body
        opened = opener.decrypt(element, sealed)
        assert isinstance(opened, Opened)
        assert not opened.is_repeat
        head = 7 if cipher == "victron" else len(body)
        nonce = slice(5, 7) if cipher == "victron" else slice(0, 0)
        assert (
            opened.body[: nonce.start] + opened.body[nonce.stop : head] == body[: nonce.start] + body[nonce.stop : head]
        )
        assert opened.body[head:] == body[head:]
        assert wrong.decrypt(element, sealed) == "wrong key"


def test_without_a_key_a_device_says_everything_plainly() -> None:
    assert Sealer(link("bthome2", ""), ADDRESS).seal(BTHOME, b"\x40\x02") == (b"\x40\x02", None)


def test_elements_of_other_kinds_pass_as_they_are() -> None:
    for cipher in BODIES:
        assert Sealer(link(cipher), ADDRESS).seal(Element(ADDRESS, service="181a"), b"abc") == (b"abc", None)
