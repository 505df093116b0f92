"""The dashboard's files, without a browser."""

from __future__ import annotations

import re
from pathlib import Path

import pytest

from gateway.api.http.pages import FOLDER, MEDIA_TYPES
from tests.api.kit import HttpBench, Told, served

FILES = sorted(path for path in FOLDER.rglob("*") if path.is_file())
OURS = [path for path in FILES if path.parent == FOLDER and path.suffix in MEDIA_TYPES]
DANGEROUS = (
    r"innerHTML|outerHTML|insertAdjacentHTML|document\.write|createContextualFragment|DOMParser|srcdoc|\beval\b|"
    r"new Function|setTimeout\(\s*[\"'`]|localStorage|indexedDB|document\.cookie|javascript:"
)


def test_pages_need_no_token_and_no_page_of_them_can_run_what_a_wire_said(tmp_path: Path) -> None:
    told: list[Told] = []

    async def play(bench: HttpBench) -> None:
        told.append(await bench.get("/"))
        told.append(await bench.get("/dashboard/main.js", token="tg1.bad.token"))

    served(tmp_path, play)
    assert [each.status for each in told] == [200, 200]
    assert [each.headers["content-type"].partition(";")[0] for each in told] == ["text/html", "text/javascript"]
    policy = dict(part.strip().split(" ", 1) for part in told[0].headers["content-security-policy"].split(";"))
    assert policy["default-src"] == "'none'"
    assert policy["script-src"] == policy["style-src"] == policy["connect-src"] == "'self'"
    assert (policy["frame-ancestors"], policy["base-uri"], policy["form-action"]) == ("'none'", "'none'", "'none'")
    assert policy["require-trusted-types-for"] == "'script'"
    assert "unsafe" not in told[0].headers["content-security-policy"]
    assert told[1].headers["x-content-type-options"] == "nosniff"


def test_a_page_that_is_known_is_not_sent_again(tmp_path: Path) -> None:
    told: list[Told] = []

    async def play(bench: HttpBench) -> None:
        told.append(await bench.get("/dashboard/style.css"))
        told.append(await bench.get("/dashboard/style.css", If_None_Match=told[0].headers["etag"]))
        told.append(await bench.http("HEAD", "/"))

    served(tmp_path, play)
    assert [(each.status, bool(each.body)) for each in told] == [(200, True), (304, False), (200, False)]


def test_nothing_else_of_the_machine_is_a_page(tmp_path: Path) -> None:
    codes: list[tuple[int, str]] = []
    paths = ("/dashboard", "/dashboard/", "/dashboard/../pages.py", "/dashboard/%2e%2e/pages.py", "/dashboard//main.js")

    async def play(bench: HttpBench) -> None:
        codes.extend([(await bench.get(path)).code for path in paths])
        codes.append((await bench.http("POST", "/", {})).code)

    served(tmp_path, play)
    assert codes == [(404, "unknown_path")] * len(paths) + [(405, "method")]


@pytest.mark.parametrize("path", OURS, ids=lambda path: path.name)
def test_a_page_makes_nothing_but_text_of_what_it_is_told(path: Path) -> None:
    assert re.findall(DANGEROUS, path.read_text()) == []


@pytest.mark.parametrize("path", OURS, ids=lambda path: path.name)
def test_a_page_loads_nothing_from_elsewhere_and_everything_that_it_names_is_there(path: Path) -> None:
    text = path.read_text()
    assert re.findall(r"(?:https?:)?//(?!www\.w3\.org/2000/svg)[a-z0-9.-]+\.[a-z]+/", text) == []
    named = re.findall(r"(?:from|import) ?\(?\"(\./[^\"]+)\"", text)
    named += [
        f".{each.removeprefix('/dashboard')}" for each in re.findall(r"(?:src|href)=\"(/dashboard/[^\"]+)\"", text)
    ]
    assert [each for each in named if not (path.parent / each).is_file()] == []


@pytest.mark.parametrize("path", OURS, ids=lambda path: path.name)
def test_a_page_is_short(path: Path) -> None:
    assert len(path.read_text().splitlines()) < 400


def test_the_library_that_is_vendored_says_its_version_and_its_licence() -> None:
    version = re.search(r"uPlot (\d+\.\d+\.\d+)", (FOLDER / "uplot" / "README").read_text())
    assert version is not None
    assert "MIT" in (FOLDER / "uplot" / "LICENSE").read_text()
