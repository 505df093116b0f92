from __future__ import annotations

import pytest

from gateway.sinks.mqtt.topics import QueryAsked, SetAsked, ShadowAsked, Topics

TOPICS = Topics("plant/north", "gw")
ROOT = "plant/north/gw"


def test_topics_stand_below_the_base_and_the_gateway() -> None:
    assert TOPICS.availability == f"{ROOT}/availability"
    assert TOPICS.birth == f"{ROOT}/birth"
    assert TOPICS.batch == f"{ROOT}/batch"
    assert TOPICS.device("pump") == f"{ROOT}/pump/availability"
    assert TOPICS.route("pump/motor/speed") == f"{ROOT}/pump/motor/speed"
    assert TOPICS.result("pump/motor/speed@desired") == f"{ROOT}/pump/motor/speed@desired/result"
    assert TOPICS.shadow("pump", "get/accepted") == f"{ROOT}/pump/@shadow/get/accepted"
    assert TOPICS.response("get") == f"{ROOT}/response/get"


@pytest.mark.parametrize(
    ("topic", "asked"),
    [
        ("pump/motor/speed@desired/set", SetAsked("pump/motor/speed@desired")),
        ("pump/@shadow/get", ShadowAsked("pump", "get")),
        ("pump/@shadow/update", ShadowAsked("pump", "update")),
        ("request/status", QueryAsked("status")),
    ],
)
def test_what_is_asked_for_is_understood(topic: str, asked: object) -> None:
    assert TOPICS.parse(f"{ROOT}/{topic}") == asked


@pytest.mark.parametrize(
    "topic",
    [
        "",
        "set",
        "pump/motor/speed/set",
        "pump/motor/speed@reported/set",
        "pump/motor@desired/set",
        "a/pump/motor/speed@desired/set",
        "pump/motor/sp\x01ed@desired/set",
        "pump/motor/+@desired/set",
        "pump/motor/speed@desired#3/set",
        "pump/motor/speed@desired/set\n",
        "pump/@shadow/delta",
        "+/@shadow/get",
        "pump/@shadow/get/accepted",
        "request/",
        "request/a/b",
        "request/../get",
        "request/" + "x" * 100,
        "request/availability",
        "response/get",
    ],
)
def test_anything_else_asks_for_nothing(topic: str) -> None:
    assert TOPICS.parse(f"{ROOT}/{topic}") is None


def test_what_another_gateway_is_asked_is_not_ours() -> None:
    assert TOPICS.parse("plant/north/gw2/request/status") is None
    assert TOPICS.parse("plant/north/gwrequest/status") is None
