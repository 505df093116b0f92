from __future__ import annotations

import sys

from click.testing import CliRunner

from hil.cli import LazyGroup


def test_a_command_whose_module_is_absent_is_not_listed_and_none_is_loaded_for_another():
    group = LazyGroup("g", "Text.", {"there": "hil.cli:group", "away": "hil.cli.no_such_module:command"})
    assert group.list_commands(None) == ["there"]
    done = CliRunner().invoke(group, ["away"])
    assert (done.exit_code, "No such command 'away'" in done.output) == (2, True)
    assert "hil.cli.no_such_module" not in sys.modules
