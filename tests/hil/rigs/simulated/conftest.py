"""What tests of simulated buses need beside the fixtures of the plugin."""

from __future__ import annotations

import pytest

from hil.rigs.base import Round


@pytest.fixture
def new_round(tmp_path):
    """Give a maker of rounds with a seed."""
    return lambda seed: Round("a test", seed, tmp_path)
