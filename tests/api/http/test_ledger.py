from __future__ import annotations

import asyncio
import csv
import io
import json
from pathlib import Path
from typing import Any

import msgspec

from gateway.api.http import documents as doc
from gateway.ledger import Ledger
from tests.api.kit import HttpBench, served
from tests.cli.ledgers import tidegate

VALVE = "node/node/valve@desired"
TEMPERATURE = "node/node/temperature"


async def until_recorded(bench: HttpBench) -> None:
    """Wait until values are on the medium: a window of telemetry at a time."""
    while len((await bench.get(f"/v1/history?route={TEMPERATURE}&limit=2")).json["points"]) < 2:  # noqa: ASYNC110 - asked by HTTP
        await asyncio.sleep(0.1)


def test_the_ledger_is_read_page_by_page_and_every_record_once(tmp_path: Path) -> None:
    seqs: list[int] = []
    told: dict[str, Any] = {}

    async def play(bench: HttpBench) -> None:
        await bench.set(VALVE, 15)
        after = ""
        while True:
            told.update((await bench.get(f"/v1/ledger/entries?limit=7{after}")).json)
            seqs.extend(entry["seq"] for entry in told["entries"])
            if told["next"] is None:
                break
            after = f"&after={told['next']}"
        told["head"] = (await bench.get("/v1/ledger/head")).json

    served(tmp_path, play)
    assert seqs == list(range(1, len(seqs) + 1))
    assert msgspec.convert({"entries": told["entries"], "next": None}, doc.Entries)
    assert msgspec.convert(told["head"], doc.Head).seq >= seqs[-1]


def test_it_is_verified_and_a_value_is_explained_down_to_its_bytes(tmp_path: Path) -> None:
    told: dict[str, Any] = {}

    async def play(bench: HttpBench) -> None:
        await until_recorded(bench)
        told["verify"] = (await bench.get("/v1/ledger/verify?deep=true")).json
        history = (await bench.get(f"/v1/history?route={TEMPERATURE}&limit=2")).json
        told["seq"] = history["points"][0]["seq"]
        told["why"] = (await bench.get(f"/v1/ledger/why?of={TEMPERATURE}%23{told['seq']}")).json
        for query, code in {
            "of=0": (400, "malformed"), "of=x": (400, "malformed"), "": (400, "malformed"),
            "of=999999": (404, "unknown_record"),
        }.items():  # fmt: skip
            assert (await bench.get(f"/v1/ledger/why?{query}")).code == code

    served(tmp_path, play)
    assert told["verify"]["verdict"] == "intact"
    (first, *_) = told["why"]["chain"]
    assert (first["seq"], [field["name"] for field in first["fields"]]) == (told["seq"], ["temperature"])


def test_a_history_comes_in_pages_as_json_and_whole_as_csv_and_as_the_cli_prints_it(tmp_path: Path) -> None:
    told: dict[str, Any] = {}

    async def play(bench: HttpBench) -> None:
        await until_recorded(bench)
        first = (await bench.get(f"/v1/history?route={TEMPERATURE}&limit=1")).json
        told["second"] = (await bench.get(f"/v1/history?route={TEMPERATURE}&limit=1&after={first['next']}")).json
        told["all"] = (await bench.get(f"/v1/history?route={TEMPERATURE}")).json
        told["csv"] = await bench.http("GET", f"/v1/history?route={TEMPERATURE}", Accept="text/csv")
        none = (await bench.get(f"/v1/history?route={TEMPERATURE}&since=9999-12-31&until=0001-01-01")).json
        assert (none["units"], none["points"]) == ("Cel", [])
        assert (await bench.get("/v1/history?route=a/b")).code == (400, "malformed")
        assert (await bench.get(f"/v1/history?route={TEMPERATURE}&since=soon")).code == (400, "malformed")

    served(tmp_path, play)
    assert msgspec.convert(told["all"], doc.History).units == "Cel"
    assert told["second"]["points"] == told["all"]["points"][1:2]
    rows = list(csv.reader(io.StringIO(told["csv"].body.decode())))
    assert told["csv"].headers["content-type"] == "text/csv; charset=utf-8"
    assert rows[0] == ["t", "seq", "v", "units", "taints"]
    assert [int(row[1]) for row in rows[1:]][: len(told["all"]["points"])] == [
        point["seq"] for point in told["all"]["points"]
    ]
    done = tidegate("history", TEMPERATURE, "--json", "--dir", tmp_path / "data" / "ledger")
    ours = json.loads(done.stdout)
    assert ours["points"][: len(told["all"]["points"])] == told["all"]["points"]
    with Ledger.open(tmp_path / "data" / "ledger", read_only=True) as ledger:
        assert ledger.verify().verdict == "intact"
