"""One outcome, at most one effect a key, and a shadow that tells the truth: over every crash of the whole gateway.

`EXAMPLES=5000` plays for longer, and otherwise each time.
"""

from __future__ import annotations

import ast
import os
import subprocess
import sys
from collections.abc import Callable

import pytest
from hypothesis import settings

from tests.crash.instead import ROOT
from tests.runtime.crashing.histories import HISTORIES, play_out
from tests.runtime.crashing.machine import Commands
from tests.runtime.crashing.rewrites import REWRITES, STEPS, rewritten

EXAMPLES = os.environ.get("EXAMPLES")

TestCommands = Commands.TestCase
TestCommands.settings = settings(
    max_examples=int(EXAMPLES or 150), stateful_step_count=STEPS, derandomize=not EXAMPLES
)  # fmt: skip


@pytest.mark.parametrize("history", HISTORIES, ids=lambda history: history.__name__)
def test_a_written_history_ends_well(history: Callable[[Commands], None]) -> None:
    play_out(history)


@pytest.mark.parametrize("name", REWRITES)
def test_a_rewrite_changes_what_is_there(name: str) -> None:
    source = (ROOT / "gateway" / REWRITES[name].file).read_text()
    assert ast.dump(ast.parse(rewritten(REWRITES[name]))) != ast.dump(ast.parse(source))


@pytest.mark.timeout(600)
@pytest.mark.parametrize("name", REWRITES)
def test_a_gateway_with_one_thing_wrong_is_noticed(name: str) -> None:
    done = subprocess.run(
        [sys.executable, "-m", "tests.runtime.crashing.rewrites", name], capture_output=True, check=False, cwd=ROOT
    )
    assert done.returncode == 1
    assert done.stdout, done.stderr.decode()  # what was noticed; without it the process broke by itself
