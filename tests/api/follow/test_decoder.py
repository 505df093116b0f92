from __future__ import annotations

from typing import Any

import pytest

from gateway.api.follow.decoder import Decoder, Run
from gateway.api.follow.values import Item, Missing
from gateway.taint import TRUST_RANGE
from tests.sinks.kit import ROUTE, body, schema, values


@pytest.fixture
def decoder() -> Decoder:
    decoder = Decoder(units_of=lambda _route: "Cel")
    for each in schema().bodies:
        decoder.learn(each)
    return decoder


def run_of(kind: str, route: str | None, *bodies: Any) -> Run:
    return Run(7, kind, route, list(bodies), 5_000_000_000)


def test_readings_become_values_with_the_number_of_their_record(decoder: Decoder) -> None:
    items = decoder.items(run_of("reading", ROUTE, body(4), body(6)))
    assert items == [
        Item("node/climate/temperature", 2.0, "Cel", 10.0, 7, "good", ()),
        Item("node/climate/temperature", 3.0, "Cel", 10.0, 8, "good", ()),
    ]


def test_taints_of_a_reading_are_named(decoder: Decoder) -> None:
    (item,) = decoder.items(run_of("reading", ROUTE, body(4, taints=TRUST_RANGE)))
    assert isinstance(item, Item)
    assert item.taints == ("trust.range",)


def test_a_stream_is_spelled_as_the_wired_device_spells_it() -> None:
    decoder = Decoder(lambda device, message: {"temperature": f"{device}_{message}"})
    for each in schema().bodies:
        decoder.learn(each)
    (item,) = decoder.items(run_of("reading", ROUTE, body(4)))
    assert isinstance(item, Item)
    assert item.route == "node/climate/node_reading"


@pytest.mark.parametrize("wrong", [b"", b"\x01", b"\x02" * 40, b"\x01\x00" + b"x" * 30])
def test_a_record_that_cannot_be_told_is_set_aside_and_the_others_go_on(decoder: Decoder, wrong: bytes) -> None:
    first, second, third = decoder.items(run_of("reading", ROUTE, body(4), wrong, body(6)))
    assert values([first, third]) == [2.0, 3.0]
    assert isinstance(second, Missing)
    assert (second.gap.from_, second.gap.to) == (8, 8)
    assert second.gap.cause.startswith("set aside")


def test_a_layout_that_was_never_met_is_asked_for() -> None:
    decoder = Decoder()
    run = run_of("reading", ROUTE, body(4))
    assert decoder.unknown(run) == schema().key
    for each in schema().bodies:
        decoder.learn(each)
    assert decoder.unknown(run) is None


def test_desired_values_states_and_commands_are_told(decoder: Decoder) -> None:
    fact = {"value": 20, "wall_ns": 3_000_000_000, "taints": 0}
    desired, state, event = (
        decoder.items(run_of(kind, route, told))[0]
        for kind, route, told in (
            ("desired", "a/b/c@desired", fact),
            ("lifecycle", "a/lifecycle/state@state", {"device": "a", "state": "CONNECTED"}),
            ("command_result", "a/b/c@desired", {"id": "x", "outcome": "reported"}),
        )
    )
    assert desired == Item("a/b/c@desired", 20, "Cel", 3.0, 7, "good", ())
    assert state == Item("a/lifecycle/state@state", "CONNECTED", "1", 5.0, 7, "good", ())
    assert isinstance(event, Item)
    assert not event.is_value
    assert (event.route, event.v["kind"], event.v["outcome"]) == ("a/b/c@event", "command_result", "reported")


@pytest.mark.parametrize("kind", ["cursor", "boot", "clock", "note", "gap", "denied", "profile"])
def test_what_is_the_ledger_s_own_business_gives_nothing(decoder: Decoder, kind: str) -> None:
    assert decoder.items(run_of(kind, None, {"consumer": "mqtt"})) == []
