"""Every end that a write over HTTP can come to, as the issue tells it: status, body, and where to look later."""

from __future__ import annotations

import asyncio
import time
from pathlib import Path
from typing import Any

import pytest

from gateway.api.http import documents as doc
from gateway.config import DeviceConfig
from gateway.profile.load import find_profile
from hil.sim.rig import Rig
from tests.api.kit import VALVE, HttpBench, Told, served

SHADOW = "/v1/devices/node/shadow"


@pytest.mark.parametrize(
    ("order", "outcome", "reason"),
    [
        ("node behave", "reported", None),
        ("node behave lies", "exhausted", "value_kept"),
        ("node behave ignores", "exhausted", "no_ack"),
        ("node behave refuses", "rejected", "device"),
    ],
)
def test_a_known_outcome_is_an_answer_whatever_it_is(
    tmp_path: Path, order: str, outcome: str, reason: str | None
) -> None:
    told: list[Told] = []

    async def play(bench: HttpBench) -> None:
        bench.order(order)
        told.append(await bench.http("PUT", VALVE, {"value": 41}, token=await bench.token()))

    served(tmp_path, play)
    assert told[0].status == 200
    assert (told[0].json["outcome"], told[0].json["reason"]) == (outcome, reason)
    assert list(told[0].json) == list(doc.Result.__struct_fields__)


def test_what_takes_longer_than_three_seconds_has_a_handle(tmp_path: Path) -> None:
    told: list[Any] = []

    async def play(bench: HttpBench) -> None:
        bench.order("node behave ignores")
        token = await bench.token()
        begun_s = time.monotonic()
        first = await bench.http("PUT", VALVE, {"value": 41, "expires": "5s", "wait": "50s"}, token=token)
        told.extend((first, time.monotonic() - begun_s))
        place = first.headers["location"]
        told.append(await bench.get(place))
        while (last := await bench.get(f"{place}?wait=3s")).json["outcome"] is None:
            assert last.status == 200
        told.append(last)

    served(tmp_path, play, devices_changed={"node": patient})
    first, took_s, then, last = told
    assert (first.status, first.json["outcome"]) == (202, None)
    assert first.headers["location"] == f"/v1/commands/{first.json['id']}"
    assert 2.9 < took_s < 8
    assert then.json["id"] == first.json["id"]
    assert last.json["outcome"] in {"expired", "exhausted"}


def test_what_an_interlock_forbids_is_a_conflict_and_nothing_is_sent(tmp_path: Path) -> None:
    told: list[Told] = []

    async def play(bench: HttpBench) -> None:
        token = await bench.token()
        told.append(await bench.http("PUT", VALVE, {"value": 41}, token=token))
        tag = (await bench.get(SHADOW)).headers["etag"]
        body = {"state": {"desired": {"valve": 41}}}
        told.append(await bench.http("PATCH", SHADOW, body, token=token, If_Match=tag))
        told.append(await bench.http("PATCH", SHADOW, body, token=token, If_Match=f"W/{tag}"))

    bench = served(tmp_path, play, devices=("node",), devices_changed={"node": locked})
    assert [each.code for each in told] == [(409, "interlock"), (409, "interlock"), (412, "version")]
    assert bench.records("command_intent") == []


def locked(folder: Path, rig: Rig) -> DeviceConfig:
    """Return the node with an interlock that never holds."""
    return changed(folder, rig, '["holding", "moving"]', '["blocked"]')


def patient(folder: Path, rig: Rig) -> DeviceConfig:
    """Return the node with a long time to answer."""
    return changed(folder, rig, '"400ms" ', '"4s" ')


def changed(folder: Path, rig: Rig, old: str, new: str) -> DeviceConfig:
    text = find_profile("cobs-node").read_text()
    assert old in text
    path = folder / "changed.toml"
    path.write_text(text.replace(old, new))
    return DeviceConfig(profile=str(path), port=str(rig.node_cable.path))


def test_a_number_of_a_record_is_no_value_that_is_now(tmp_path: Path) -> None:
    async def play(bench: HttpBench) -> None:
        assert (await bench.get("/v1/values/node/node/temperature%231")).code == (404, "unknown_route")

    served(tmp_path, play)


def test_a_token_whose_time_is_over_counts_for_nothing(tmp_path: Path) -> None:
    codes: list[tuple[int, str]] = []

    async def play(bench: HttpBench) -> None:
        args = {"principal": "user:root", "routes": "**", "verbs": ["read"], "expires_s": 2.0}
        me = (await bench.ask("identify"))["principal"]
        token = (await bench.ask("issue_token", **(args | {"principal": me})))["token"]
        assert (await bench.get("/v1/values", token=token)).status == 200
        await asyncio.sleep(2.1)
        codes.append((await bench.get("/v1/values", token=token)).code)
        codes.append((await bench.http("PUT", VALVE, {"value": 1}, token=token)).code)

    served(tmp_path, play)
    assert codes == [(401, "bad_token")] * 2
