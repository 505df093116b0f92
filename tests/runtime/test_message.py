from __future__ import annotations

from gateway.profile.build import CompiledProfile
from gateway.runtime.message import Message, Streams, advertisement_of, stale_after_ns
from tests.runtime.kit import cobs_profile, compiled

SECOND = 1_000_000_000


def message(name: str = "reading", profile: CompiledProfile | None = None) -> Message:
    compiled_profile = profile or cobs_profile()
    return Message(
        "node",
        name,
        family="Climate Zone",
        plan_of=lambda: compiled_profile.messages[name],
        stale_after_ns=2 * SECOND,
        streams=Streams(),
    )


def test_names_of_one_family_that_become_the_same_segment_are_numbered() -> None:
    streams = Streams()
    assert [streams.segment("f", name) for name in ("Speed", "speed", "SPEED", "Speed")] == [
        "speed",
        "speed_2",
        "speed_3",
        "speed",
    ]
    assert streams.segment("g", "speed") == "speed"


def test_a_family_becomes_a_segment() -> None:
    assert message().family == "climate_zone"


def test_before_the_first_value_there_is_none_and_it_is_not_stale() -> None:
    latest = message().latest(99 * SECOND)
    assert (latest["age"], latest["t"], latest["seq"], latest["stale"]) == (None, None, 0, False)
    assert latest["values"] == {"temperature": None}
    assert latest["units"] == {"temperature": "Cel"}


def test_after_its_silence_a_value_is_stale_and_says_so() -> None:
    late = message()
    late.row, late.sequence, late.received_ns = (20.0, 0), 1, 10 * SECOND
    assert late.latest(11 * SECOND)["taints"] == []
    assert late.latest(13 * SECOND)["taints"] == ["coherence.stale"]
    assert late.latest(13 * SECOND)["age"] == 3.0


def test_how_long_a_message_may_be_silent() -> None:
    profile = compiled(
        '[profile]\nid = "t/t@1.0.0"\n[link]\nbus = "can"\n[lifecycle]\nstale_after = "7s"\n'
        '[message.own]\nstale_after = "1s"\nwhen = { can_id = 1 }\nfields = [{ name = "x", type = "u8" }]\n'
        '[message.asked]\nask = { send = "00", can_id = 5 }\nevery = "4s"\nwhen = { can_id = 2 }\n'
        'fields = [{ name = "y", type = "u8" }]\n'
        '[message.other]\nwhen = { can_id = 3 }\nfields = [{ name = "z", type = "u8" }]\n'
    )
    messages = profile.profile.message
    assert [stale_after_ns(profile, messages[name]) // SECOND for name in messages] == [1, 12, 7]


def test_an_advertisement_has_a_signal_strength_in_dbm() -> None:
    rssi = advertisement_of("tag", SECOND, Streams())
    assert rssi.plan.names == ("rssi",)
    assert rssi.plan.units == ("dBm",)
    assert rssi.plan.decode(b"\xc4") == (-60, 0)
    assert rssi.plan.decode_raw(b"\xc4") == {"rssi": -60}
