"""What `openapi.json` says is what the door does: schemathesis asks everything that it allows and forbids.

`/v1/watch` alone is left out, for its answer never ends: what it takes and refuses is in test_watch.py.
"""

from __future__ import annotations

import asyncio
import os
import re
import sys
from pathlib import Path
from typing import Any

import pytest

from gateway.api.http.guard import Allowance
from tests.api.kit import HttpBench, served

CHOICE = """
hooks = "hooks.py"

[checks.positive_data_acceptance]
expected-statuses = [200, 202, 304, 401, 403, 404, 409, 412, 422, 429, 503]  # 412, 422: what no schema can tell

[checks.missing_required_header]
expected-statuses = [400, 401, 403, 428]  # 428: that is what it is for
"""

HOOKS = """
import schemathesis

@schemathesis.hook
def before_call(context, case, kwargs):
    if isinstance(case.body, dict) and "key" in case.body and "Idempotency-Key" in (case.headers or {}):
        del case.headers["Idempotency-Key"]  # the two are one, and no schema can tell that they must not differ
"""


async def fuzzed(bench: HttpBench, *more: str, cases: int, limit_s: int) -> None:
    """Let schemathesis have its way; what it finds fails the test in its own words."""
    (bench.folder / "choice.toml").write_text(CHOICE)
    (bench.folder / "hooks.py").write_text(HOOKS)
    program = "import sys; from schemathesis.cli import schemathesis; sys.exit(schemathesis())"
    process = await asyncio.create_subprocess_exec(
        sys.executable, "-c", program, "--config-file", str(bench.folder / "choice.toml"),
        "run", f"http://127.0.0.1:{bench.port}/openapi.json", "--exclude-path", "/v1/watch", "--checks", "all",
        "--max-examples", str(cases), "--seed", "1", "--generation-deterministic",
        "--no-shrink", "--continue-on-failure", "--request-timeout", "60", "--max-response-time", "60",
        "--max-time", str(limit_s), "--no-color", "--warnings", "off", *more,
        stdout=asyncio.subprocess.PIPE, stderr=asyncio.subprocess.STDOUT, cwd=bench.folder,
        env={**os.environ, "CI": "true"},
    )  # fmt: skip
    told, _ = await process.communicate()
    assert process.returncode == 0, told.decode()
    found = re.search(r"(\d+) generated", told.decode())
    assert found is not None
    assert int(found[1]) > 200
    assert (await bench.get("/healthz")).status == 200
    assert "500" not in bench.gateway.status()["http"]["answered"]


@pytest.mark.slow
@pytest.mark.timeout(300)
def test_who_may_do_everything_is_answered_as_the_description_says(tmp_path: Path) -> None:
    async def play(bench: HttpBench) -> None:
        bench.gateway.http.app.allowance = Allowance(per_s=10_000)  # type: ignore[union-attr] # not what is asked here
        token = await bench.token()
        await fuzzed(bench, "--header", f"Authorization: Bearer {token}", cases=12, limit_s=60)
        assert (await bench.get("/v1/values", token=token)).status == 200

    served(tmp_path, play, limit_s=240)


@pytest.mark.slow
@pytest.mark.timeout(300)
def test_who_has_no_token_is_answered_as_the_description_says_and_changes_nothing(tmp_path: Path) -> None:
    async def play(bench: HttpBench) -> None:
        await fuzzed(bench, "--phases", "coverage,fuzzing", cases=5, limit_s=30)

    bench = served(tmp_path, play, limit_s=240)
    assert bench.records("command_intent") == []


def test_the_page_for_people_needs_nothing_from_elsewhere_and_runs_nothing(tmp_path: Path) -> None:
    async def play(bench: HttpBench) -> None:
        page = await bench.get("/docs")
        policy: Any = dict(part.split(" ", 1) for part in page.headers["content-security-policy"].split("; "))
        assert policy["default-src"] == "'none'"
        assert b"<script" not in page.body
        assert not re.search(rb"(src|href|url)\W{1,3}(https?:)?//", page.body)
        described = (await bench.get("/openapi.json")).json
        for path, methods in described["paths"].items():
            assert path.encode() in page.body
            for operation in methods.values():
                assert operation["operationId"].encode() in page.body
        for name in described["components"]["schemas"]:
            assert name.encode() in page.body

    served(tmp_path, play)
