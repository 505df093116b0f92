"""What a broker delivers again, retained or in a wrong shape: done once, or not at all, and always answered."""

from __future__ import annotations

import asyncio
from typing import Any

import pytest

from gateway.authority.decision import Caller
from gateway.sinks.mqtt.requests import Requests, read_set
from gateway.sinks.mqtt.topics import Topics

SET = "tidegate/gw/node/node/valve@desired/set"
OUTCOME = {"id": "7", "route": "node/node/valve@desired", "outcome": "reported", "reason": None}


class Gateway:
    """Stands for everything behind the door, and keeps what it was asked to do."""

    def __init__(self) -> None:
        self.asked: list[tuple[str, dict[str, Any]]] = []
        self.told: list[tuple[str, Any]] = []
        self.twins: dict[str, Any] = {}
        self.requests = Requests(
            Topics("tidegate", "gw"), does=self, knows=self, commands=self,  # type: ignore[arg-type]
            publish=lambda topic, told: self.told.append((topic, told)), spawn=self.spawn,
        )  # fmt: skip

    def spawn(self, work: Any, _name: str) -> bool:
        asyncio.run(work)
        return True

    async def answer(self, name: str, args: dict[str, Any], caller: Caller) -> dict[str, Any]:
        assert caller.principal == "service:mqtt"
        self.asked.append((name, args))
        return OUTCOME

    def take(self, payload: bytes, *, topic: str = SET, is_retained: bool = False, is_again: bool = False) -> None:
        self.requests.take(topic, payload, is_retained=is_retained, is_again=is_again)


def test_a_command_that_may_have_been_delivered_before_is_done_where_its_key_can_tell() -> None:
    gateway = Gateway()
    gateway.take(b'{"value": 1, "key": "k"}', is_again=True)
    assert [(name, args["key"]) for name, args in gateway.asked] == [("set", "k")]
    assert [told["outcome"] for _, told in gateway.told] == ["reported"]


@pytest.mark.parametrize("payload", [b"1", b'{"value": 1}', b'{"value": 1, "key": null}'])
def test_a_command_that_may_have_been_delivered_before_and_has_no_key_is_not_done(payload: bytes) -> None:
    gateway = Gateway()
    gateway.take(payload, is_again=True)
    assert gateway.asked == []
    ((topic, told),) = gateway.told
    assert (topic, told["id"], told["reason"]) == ("tidegate/gw/node/node/valve@desired/result", None, "redelivered")


@pytest.mark.parametrize(
    "topic", [SET, "tidegate/gw/node/@shadow/update", "tidegate/gw/node/@shadow/get", "tidegate/gw/request/get"]
)
def test_what_is_retained_is_counted_and_nothing_else(topic: str) -> None:
    gateway = Gateway()
    gateway.take(b"1", topic=topic, is_retained=True)
    assert (gateway.asked, gateway.told, gateway.requests.ignored) == ([], [], 1)


@pytest.mark.parametrize(
    ("payload", "value"),
    [
        (b"40", 40), (b"4.5", 4.5), (b"true", True), (b'"open"', "open"), (b"open", "open"), (b"null", None),
        (b" 40 ", 40), (b"NaN", "NaN"), (b"1e999", "1e999"), (b"[1]", [1]), (b'{"value": {"a": 1}}', {"a": 1}),
        (b"40\x00", "40\x00"), ("\u00e4".encode(), "\u00e4"),
    ],
)  # fmt: skip
def test_a_bare_value_is_json_where_it_can_be_and_else_text(payload: bytes, value: object) -> None:
    assert read_set(payload).value == value


@pytest.mark.parametrize(
    "payload",
    [
        b"", b" \n", b"\xff", b"{", b"[" * 3_000, b'{"value": 1, "more": 1}', b"{}", b'{"value": 1, "key": 1}',
        b'{"value": 1, "expires": []}', b'{"value": 1, "wait": "soon"}', b'{"value": 1e999}', b'{"value": NaN}',
    ],
)  # fmt: skip
def test_what_is_no_command_says_why(payload: bytes) -> None:
    gateway = Gateway()
    gateway.take(payload)
    assert gateway.asked == []
    ((_, told),) = gateway.told
    assert (told["id"], told["outcome"], told["reason"]) == (None, None, "malformed")
