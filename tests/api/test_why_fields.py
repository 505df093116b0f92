"""A value is walked back to its bits: place, bytes, number, scale."""

import json

import pytest

from gateway.api.why_fields import Explained, explained
from gateway.frame import Garbage
from gateway.profile.build import CompiledProfile
from gateway.profile.load import load_profile, shipped_profiles
from gateway.registry import transforms_of

PROFILE = """
[profile]
id = "test/places@1.0.0"
[link]
bus = "uart"
[framing]
kind = "cobs"
max = 256
[message.all]
fields = [
  { name = "kind", type = "u8" },
  { name = "level", type = "s16be", scale = 0.01, offset = -40, units = "Cel", if = { kind = 1 } },
  { name = "level", type = "u8", if = { kind = 2 } },
  { type = "u16le", bits = [
    { name = "mode", at = "15:12" },
    { name = "alarm", at = 0 },
    { name = "rare", at = 1, if = "alarm" },
  ] },
  { name = "_count", type = "u8" },
  { name = "samples", type = "u16be", array = "_count" },
  { name = "size", type = "u8" },
  { name = "blob", type = "bytes", length = "size" },
  { name = "name", type = "text", length = "null" },
  { name = "tail", type = "u8" },
  { name = "fixed", type = "u8", at = 0 },
]
"""


def fields(tmp_path, payload: str) -> dict[str, Explained]:
    path = tmp_path / "profile.toml"
    path.write_text(PROFILE)
    profile = load_profile(path)
    plan = CompiledProfile(profile).messages["all"]
    body = bytes.fromhex(payload)
    return {each.name: each for each in explained(profile.message["all"], plan, body, plan.decode(body))}


#        kind level status count samples  size blob name   tail
ONE = "01 1388 0130 02 0005 0006 02 aabb 414200 07"
TWO = "02 0a 0130 01 0005 00 4100 07"


@pytest.mark.parametrize(
    ("payload", "name", "words"),
    [
        (ONE, "kind", "kind = 1: byte 0 = 01, u8 1"),
        (ONE, "level", "level = 10 Cel: bytes 1 to 2 = 13 88, s16be 5000 x 0.01 - 40"),
        (TWO, "level", "level = 10 Cel: byte 1 = 0a, u8 10"),
        (ONE, "mode", "mode = 3: bytes 3 to 4 = 01 30, bits 15:12, bits 3"),
        (ONE, "alarm", "alarm = yes: bytes 3 to 4 = 01 30, bits 0, bits 1"),
        (ONE, "samples", "samples = 5,6: bytes 6 to 9 = 00 05 00 06, u16be 5,6"),
        (TWO, "samples", "samples = 5: bytes 5 to 6 = 00 05, u16be 5"),
        (ONE, "blob", "blob = aabb: bytes 11 to 12 = aa bb, bytes aabb"),
        (ONE, "name", "name = AB: its place depends on what stands before it, text AB"),
        (ONE, "tail", "tail = 7: its place depends on what stands before it, u8 7"),
        (ONE, "fixed", "fixed = 1: byte 0 = 01, u8 1"),
    ],
)
def test_a_value_is_walked_back_to_its_bytes(tmp_path, payload, name, words):
    assert fields(tmp_path, payload)[name].words() == words


def test_what_is_not_in_the_message_is_not_explained(tmp_path):
    assert "rare" not in fields(tmp_path, ONE.replace("0130", "0030"))


def golden():
    """Yield the golden lines of every shipped profile."""
    for name, path in shipped_profiles().items():
        lines = (path.parent / "golden.jsonl").read_text().splitlines()
        yield pytest.param(path, [json.loads(line) for line in lines], id=name)


@pytest.mark.parametrize(("path", "lines"), list(golden()))
def test_every_number_with_a_place_is_what_stands_there(path, lines):
    """For plain integers of one place: the hex of the place, read as the type says, is the raw number."""
    profile = load_profile(path)
    compiled = CompiledProfile(profile, transforms_of(profile))
    wrong = []
    for told in lines:
        if told.get("message") not in profile.message or "hex" not in told:
            continue
        body = bytes.fromhex(told["hex"])
        pieces = [piece for piece in compiled.framer().feed(body) if not isinstance(piece, Garbage)]
        for piece in pieces[:1]:
            plan = compiled.messages[told["message"]]
            for each in explained(profile.message[told["message"]], plan, piece, plan.decode(piece)):
                if each.type in {"u8", "u16be", "u32be"} and each.bits is None and isinstance(each.raw, int):
                    wrong += [] if int(each.hex.replace(" ", ""), 16) == each.raw else [each.words()]
    assert wrong == []
