"""One cipher for each device heard: counters do not mix, and are not kept for ever."""

from __future__ import annotations

from gateway.frame import Element
from gateway.profile.build import CompiledProfile
from gateway.profile.load import find_profile, load_profile
from gateway.profile.unseal import MAX_DEVICES, Unsealer
from gateway.schema.cipher import Opened
from tests.schema.test_cipher import HEARD, KEY, sealed


def unsealer(key: str | None = KEY.hex()) -> Unsealer:
    made = CompiledProfile(load_profile(find_profile("bthome"), {} if key is None else {"key": key})).unsealer()
    assert made is not None
    return made


def test_a_profile_without_cipher_has_nothing_to_open():
    assert CompiledProfile(load_profile(find_profile("ruuvitag-df5"))).unsealer() is None


def test_a_device_without_a_key_is_told_so():
    assert unsealer(None).open(sealed(1), HEARD) == "no key"
    assert unsealer(None).open(b"\x40\x01\x61", HEARD) == Opened(b"\x40\x01\x61")


def test_each_address_has_its_own_counter():
    both = unsealer()
    other = Element("A4:C1:38:8D:18:B2", service="fcd2")
    assert isinstance(both.open(sealed(500), HEARD), Opened)
    assert both.open(sealed(400), other) == "wrong key"  # sealed with the address of the first
    assert isinstance(both.open(sealed(400, other.address), other), Opened)
    assert both.open(sealed(400), HEARD) == "replayed"


def test_the_device_silent_longest_is_forgotten_first():
    many = unsealer()
    many.open(sealed(500), HEARD)
    for number in range(MAX_DEVICES - 1):
        many.open(b"\x40\x01\x61", Element(f"{number}", service="fcd2"))
    assert many.open(sealed(400), HEARD) == "replayed"
    for number in range(MAX_DEVICES):
        many.open(b"\x40\x01\x61", Element(f"{number}", service="fcd2"))
    assert isinstance(many.open(sealed(400), HEARD), Opened)
