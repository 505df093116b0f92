"""Encrypted advertisements: vectors of other projects, and every way in which one must not open."""

from __future__ import annotations

import pytest
from cryptography.hazmat.primitives.ciphers.aead import AESCCM
from hypothesis import given, settings
from hypothesis import strategies as st

from gateway.frame import Element
from gateway.schema.cipher import CIPHERS, BthomeCipher, MibeaconCipher, Opened, VictronCipher

MAC = "54:48:E6:8F:80:A5"
KEY = bytes.fromhex("231d39c1d7cc1ab1aee224cd096db932")
HEARD = Element(MAC, service="fcd2")
SEALED = bytes.fromhex("41a47266c95f730011223378237214")  # bthome.io, "Encryption": 25.06 Cel, 50.55 %
XIAOMI_KEY = bytes.fromhex("e9ea895fac7cca6d30532432a516f3a8")
XIAOMI = bytes.fromhex("58585b0550f4830238c1a495ef58763c26000097e2abb5")  # xiaomi-ble, test_Xiaomi_LYWSD03MMC_encrypted
XIAOMI_HEARD = Element("A4:C1:38:02:83:F4", service="fe95")
VICTRON_KEY = bytes.fromhex("aff4d0995b7d1e176c0c33ecb9e70dcd")
VICTRON = bytes.fromhex("100289a302b040af925d09a4d89aa0128bdef48c6298a9")  # victron-ble, test_end_to_end_parse
VICTRON_HEARD = Element("C0:FF:EE:00:00:02", manufacturer=0x02E1)
DEVICES = [
    pytest.param("bthome2", KEY, HEARD, SEALED, id="bthome2"),
    pytest.param("mibeacon", XIAOMI_KEY, XIAOMI_HEARD, XIAOMI, id="mibeacon"),
    pytest.param("victron", VICTRON_KEY, VICTRON_HEARD, VICTRON, id="victron"),
]


def sealed(counter: int, mac: str = MAC) -> bytes:
    """Return a BTHome body as a device makes it."""
    tail = counter.to_bytes(4, "little")
    nonce = bytes.fromhex(mac.replace(":", "")) + b"\xd2\xfc\x41" + tail
    both = AESCCM(KEY, tag_length=4).encrypt(nonce, bytes.fromhex("02ca0903bf13"), None)
    return b"\x41" + both[:-4] + tail + both[-4:]


def test_bthome_opens_to_what_an_unencrypted_device_would_send():
    assert BthomeCipher(KEY).decrypt(HEARD, SEALED) == Opened(bytes.fromhex("4002ca0903bf13"))


def test_mibeacon_opens_to_its_head_and_plain_objects():
    opened = MibeaconCipher(XIAOMI_KEY).decrypt(XIAOMI_HEARD, XIAOMI)
    assert opened == Opened(bytes.fromhex("50585b0550f4830238c1a4" + "061002d301"))


def test_mibeacon_without_an_address_inside_takes_the_one_it_came_from():
    cipher = MibeaconCipher(bytes.fromhex("4d8f1373fb4d3bab557d0ebd1c78f8c4"))  # xiaomi-ble, tests/test_parser.py
    body = bytes.fromhex("4859b5553a8699bda053448f1200005b046d6a")
    opened = cipher.decrypt(Element("A4:C1:38:80:15:07", service="fe95"), body)
    assert isinstance(opened, Opened)
    assert opened.body.hex() == "4059b5553a" + "0148049a99c941"  # 25.2 Cel as a float
    assert cipher.decrypt(Element("A4:C1:38:80:15:08", service="fe95"), body) == "wrong key"


def test_victron_opens_without_its_key_check():
    opened = VictronCipher(VICTRON_KEY).decrypt(VICTRON_HEARD, VICTRON)
    assert isinstance(opened, Opened)
    assert opened.body[:7] == VICTRON[:7]
    assert opened.body[7:11].hex() == "ffffe504"  # no time remaining, 12.53 V


def test_victron_records_longer_than_a_block_go_on_with_the_next_counter():
    from cryptography.hazmat.primitives.ciphers import Cipher, algorithms, modes

    record = bytes(range(40))
    blocks = b"".join((0xFFFF + index).to_bytes(16, "little") for index in range(3))
    stream = Cipher(algorithms.AES(VICTRON_KEY), modes.ECB()).encryptor().update(blocks)
    body = VICTRON[:5] + b"\xff\xff" + VICTRON_KEY[:1] + bytes(a ^ b for a, b in zip(record, stream, strict=False))
    opened = VictronCipher(VICTRON_KEY).decrypt(VICTRON_HEARD, body)
    assert opened == Opened(body[:7] + record)


@pytest.mark.parametrize(("name", "key", "heard", "body"), DEVICES)
def test_a_missing_key_is_told_apart_from_a_wrong_one(name, key, heard, body):
    assert CIPHERS[name](b"").decrypt(heard, body) == "no key"
    assert CIPHERS[name](bytes(byte ^ 1 for byte in key)).decrypt(heard, body) == "wrong key"


@pytest.mark.parametrize(("name", "key", "heard", "body"), DEVICES)
def test_a_key_is_sixteen_bytes_and_shows_nowhere(name, key, heard, body):
    with pytest.raises(ValueError, match="16 bytes, not 15") as raised:
        CIPHERS[name](key[:15])
    assert key[:4].hex() not in str(raised.value)
    assert key[:4].hex() not in repr(CIPHERS[name](key))
    assert str(key[:4]) not in repr(CIPHERS[name](key))


@pytest.mark.parametrize(("name", "key", "heard", "body"), DEVICES)
def test_elements_of_other_kinds_pass_as_they_are(name, key, heard, body):
    for other in (Element(MAC, service="181a"), Element(MAC, manufacturer=0x004C)):
        assert CIPHERS[name](key).decrypt(other, body) == Opened(body)
        assert CIPHERS[name](b"").decrypt(other, body) == Opened(body)


def test_an_equal_counter_repeats_and_a_lower_one_is_refused():
    cipher = BthomeCipher(KEY)
    plain = bytes.fromhex("4002ca0903bf13")
    assert cipher.decrypt(HEARD, sealed(1000)) == Opened(plain)
    assert cipher.decrypt(HEARD, sealed(1000)) == Opened(plain, is_repeat=True)
    assert cipher.decrypt(HEARD, sealed(999)) == "replayed"
    assert cipher.decrypt(HEARD, sealed(1001)) == Opened(plain)


def test_a_message_that_does_not_open_moves_no_counter():
    cipher = BthomeCipher(KEY)
    forged = sealed(5000)[:-1] + b"\x00"
    assert cipher.decrypt(HEARD, forged) == "wrong key"
    assert isinstance(cipher.decrypt(HEARD, sealed(7)), Opened)


def test_mibeacon_counts_with_both_parts_of_its_counter():
    cipher = MibeaconCipher(XIAOMI_KEY)
    first = cipher.decrypt(XIAOMI_HEARD, XIAOMI)
    again = cipher.decrypt(XIAOMI_HEARD, XIAOMI)
    assert isinstance(first, Opened)
    assert not first.is_repeat
    assert isinstance(again, Opened)
    assert again.is_repeat


def test_a_plain_message_in_the_name_of_a_device_that_encrypts_is_refused():
    cipher = BthomeCipher(KEY)
    plain = bytes.fromhex("4004138a01")
    assert cipher.decrypt(HEARD, plain) == Opened(plain)
    assert isinstance(cipher.decrypt(HEARD, sealed(1)), Opened)
    assert cipher.decrypt(HEARD, plain) == "not encrypted"
    keyless = BthomeCipher(b"")
    assert keyless.decrypt(HEARD, sealed(1)) == "no key"
    assert keyless.decrypt(HEARD, plain) == Opened(plain)


def test_a_system_that_hides_addresses_is_named_as_the_reason():
    hidden = Element("61DE521B-F0BF-9F44-64D4-75BBE1738105", service="fcd2")
    assert BthomeCipher(KEY).decrypt(hidden, SEALED) == "no address"


@pytest.mark.parametrize(("name", "key", "heard", "body"), DEVICES)
def test_a_body_cut_anywhere_never_opens_to_more_than_it_holds(name, key, heard, body):
    for size in range(len(body)):
        result = CIPHERS[name](key).decrypt(heard, body[:size])
        if isinstance(result, Opened):
            assert name == "victron" or size < 5, "a message without its MIC is taken"
            assert len(result.body) <= size
        else:
            assert result in {"cut", "wrong key"}


@settings(max_examples=100, deadline=None)
@given(body=st.binary(max_size=40), control=st.sampled_from([b"", b"\x41", b"\x43", b"\x58\x58", b"\x78\x58", b"\x10"]))
@pytest.mark.parametrize(("name", "key", "heard", "_body"), DEVICES)
def test_any_bytes_at_all_give_a_body_or_a_reason(name, key, heard, _body, body, control):
    result = CIPHERS[name](key).decrypt(heard, control + body)
    assert isinstance(result, Opened | str)
