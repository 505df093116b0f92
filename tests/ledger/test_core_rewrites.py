"""Not one check of the ledger's core is there for nothing: without it, states that cuts and lies leave go wrong."""

from __future__ import annotations

import ast
import subprocess
import sys

import pytest

from tests.crash.rewrites import HOME, REWRITES, rewritten


@pytest.mark.parametrize("name", REWRITES)
def test_a_rewrite_changes_what_is_there(name: str) -> None:
    source = (HOME / REWRITES[name].file).read_text()
    assert ast.dump(ast.parse(rewritten(REWRITES[name]))) != ast.dump(ast.parse(source))


@pytest.mark.timeout(600)
@pytest.mark.parametrize("name", REWRITES)
def test_a_core_with_one_check_less_is_noticed(name: str) -> None:
    done = subprocess.run([sys.executable, "-m", "tests.crash.rewrites", name], capture_output=True, check=False)
    assert (done.returncode, done.stderr.decode()) == (1, "")
