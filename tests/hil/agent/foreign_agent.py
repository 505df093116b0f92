"""`tidegate hil agent` of another version: python -m tests.hil.agent.foreign_agent ARGUMENTS."""

from __future__ import annotations

import sys

from hil.agent import messages

messages.VERSION = 2  # before those that use it are imported

from hil.cli.agent import command  # noqa: E402

command(sys.argv[1:])
