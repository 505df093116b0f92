"""The example dashboard asks for nothing that `/metrics` does not tell."""

from __future__ import annotations

import json
import re
from pathlib import Path
from typing import Any

import pytest
from prometheus_client.parser import text_string_to_metric_families

from gateway.api.settings import MetricsConfig
from tests.api.kit import HttpBench, served

FILE = Path(__file__).parents[3] / "deploy/grafana/tidegate.json"
DASHBOARD: dict[str, Any] = json.loads(FILE.read_text())
EXPRESSIONS = [target["expr"] for panel in DASHBOARD["panels"] for target in panel.get("targets", ())]
QUERIES = [each["query"]["query"] for each in DASHBOARD["templating"]["list"] if each["type"] == "query"]
NAME = re.compile(r"\btidegate_\w+")
SELECTOR = re.compile(r"\b(tidegate_\w+)\{([^}]*)\}")
LABEL = re.compile(r"(\w+)(?:=~|!~|!=|=)")


@pytest.fixture(scope="module")
def told(tmp_path_factory: pytest.TempPathFactory) -> dict[str, set[str] | None]:
    """Every sample's name that a gateway tells, with its labels; None where there is no sample yet."""
    found: dict[str, set[str] | None] = {}

    async def play(bench: HttpBench) -> None:
        text = (await bench.get("/metrics")).body.decode()
        for family in text_string_to_metric_families(text):
            name = f"{family.name}_total" if family.type == "counter" else family.name
            found[name] = set(family.samples[0].labels) if family.samples else None

    served(tmp_path_factory.mktemp("metrics"), play, metrics=MetricsConfig(values=True))
    return found


@pytest.mark.parametrize("query", [*EXPRESSIONS, *QUERIES])
def test_a_query_names_what_is_told_by_labels_that_it_has(query: str, told: dict[str, set[str] | None]) -> None:
    names = set(NAME.findall(query))
    assert names
    assert names <= told.keys()
    for name, selector in SELECTOR.findall(query):
        labels = told[name]
        assert labels is None or set(LABEL.findall(selector)) <= labels | {"job"}


def test_what_the_issue_names_is_told(told: dict[str, set[str] | None]) -> None:
    labels = {
        "tidegate_device_frames_total": {"device", "result"}, "tidegate_device_frames_pending": {"device"},
        "tidegate_device_lifecycle": {"device", "state"},
    }  # fmt: skip
    assert {name: told[name] for name in labels} == labels
    assert {"tidegate_sink_lag_records", "tidegate_sink_set_aside_total", "tidegate_watch_closed_total"} <= told.keys()


def test_every_family_but_the_information_has_its_place(told: dict[str, set[str] | None]) -> None:
    asked = {name for query in [*EXPRESSIONS, *QUERIES] for name in NAME.findall(query)}
    assert told.keys() - asked == set()


def test_panels_do_not_overlap_and_name_no_machine() -> None:
    cells: set[tuple[int, int]] = set()
    for panel in DASHBOARD["panels"]:
        place = panel["gridPos"]
        columns = range(place["x"], place["x"] + place["w"])
        own = {(x, place["y"] + line) for x in columns for line in range(place["h"])}
        assert not own & cells
        assert place["x"] + place["w"] <= 24
        cells |= own
    assert not re.search(r"https?://", FILE.read_text())
    assert len({panel["id"] for panel in DASHBOARD["panels"]}) == len(DASHBOARD["panels"])
