"""The way of a command with one thing wrong: the machine must notice each.

`python -m tests.runtime.crashing.rewrites NAME` runs in a process of its own; it prints what was noticed and exits 1.
"""

from __future__ import annotations

import logging
import sys
from typing import Final, NamedTuple

from tests.crash.instead import ROOT, changed, instead

EXAMPLES: Final = 1_000
STEPS: Final = 40


class Rewrite(NamedTuple):
    """One change of one file below `gateway/`."""

    file: str
    old: str  # stands there exactly once
    new: str


REWRITES: Final[dict[str, Rewrite]] = {
    "bytes go out before the intent is on the medium": Rewrite(
        "runtime/dispatch.py", '"command_intent", intent.route, body, "command", None),\n                    '
        '("desired", intent.route, fact_body(fact, intent.id), "command", None)',
        '"command_intent", intent.route, body, "telemetry", None),\n                    '
        '("desired", intent.route, fact_body(fact, intent.id), "telemetry", None)',
    ),
    "a result is told before it is on the medium": Rewrite(
        "runtime/commander.py", 'running.command.result(), "command", running.seq)',
        'running.command.result(), "telemetry", running.seq)',
    ),
    "an outcome is told from memory": Rewrite(
        "runtime/running.py", "command.finish if is_recorded else None", "command.finish"
    ),
    "what is not idempotent is taken up again": Rewrite(
        "shadow/restart.py", "if may_have_sent and not policy.is_idempotent:", "if False:"
    ),
    "a command made again by its key in the same run": Rewrite(
        "runtime/dispatch.py", "        self.keys.opened(intent, now_ns)\n", ""
    ),
    "keys are forgotten at a restart": Rewrite(
        "runtime/resuming.py", "self._dispatch.keys.opened(intent, self._moment.monotonic_ns, ", "print("
    ),
    "the age of a key by a clock that was wrong": Rewrite(
        "shadow/intent.py", 'clock != "none" and self.clock in {"", clock} and age_ns >= 0', "age_ns >= 0"
    ),
    "the monotonic clock of another start of the machine is believed": Rewrite(
        "shadow/intent.py", "self.machine and self.machine == machine and now_ns", "now_ns"
    ),
    "a caller hears of an intent that is on its way": Rewrite(
        "runtime/dispatch.py", "        while known is not None and (begun", "        while False and (begun"
    ),
    "a command's time runs from when the ledger had it": Rewrite(
        "shadow/command.py", "start_ns = now_ns if made_ns is None else made_ns", "start_ns = now_ns"
    ),
    "a command's time runs from the restart": Rewrite(
        "shadow/restart.py", "made_ns = now_ns - (age_ns or 0)", "made_ns = now_ns"
    ),
    "attempts of earlier runs are not counted": Rewrite(
        "runtime/resuming.py", "attempts=max(kept.sendings, kept.sent is not None)",
        "attempts=int(kept.sent is not None)",
    ),
    "an attempt goes out while the one before is on no record": Rewrite(
        "runtime/commander.py", "        await running.is_noted.wait()\n", ""
    ),
    "walls are forgotten at a restart": Rewrite(
        "runtime/resuming.py", "                dispatch.warden.restore(walls)\n", "                pass\n"
    ),
    "a wall stops no command under way": Rewrite(
        "runtime/dispatch.py", "        if wall is not None:\n            return Bar(",
        "        if False:\n            return Bar(",
    ),
    "nobody is asked before a gate opens": Rewrite(
        "shadow/command.py", "Phase.APPROVAL if policy.needs_approval else Phase.HELD", "Phase.HELD"
    ),
    "two commands of one setpoint stay open": Rewrite(
        "runtime/commander.py", "            self.feed(before, Superseded())\n", "            pass\n"
    ),
    "desired values are forgotten at a restart": Rewrite(
        "runtime/shadows.py", 'desired=_fact(state.latest("desired").get(route))', "desired=None"
    ),
    "effective values are forgotten at a restart": Rewrite(
        "runtime/shadows.py", 'effective=_fact(state.latest("effective").get(route))', "effective=None"
    ),
    "what was said in an earlier run counts as fresh": Rewrite(
        "runtime/shadows.py", "Fact(value, self.boot - 1, message.sequence", "Fact(value, self.boot, message.sequence"
    ),
    "what settles late is not recorded": Rewrite(
        "runtime/dispatch.py", '        self._durable.put("effective"', '        (lambda *_: None)("effective"'
    ),
    "a device that was away is as it was": Rewrite(
        "shadow/document.py", "(self.lost_ns is not None and reported.mono_ns <= self.lost_ns)", "False"
    ),
}  # fmt: skip


def rewritten(rewrite: Rewrite) -> str:
    """Return the source of the changed file."""
    return changed(ROOT / "gateway" / rewrite.file, rewrite.old, rewrite.new)


def main(name: str) -> int:
    """Play with a rewritten gateway; return 1 where that is noticed."""
    instead(ROOT / "gateway" / REWRITES[name].file, rewritten(REWRITES[name]))
    logging.disable(logging.CRITICAL)
    from hypothesis import HealthCheck, Phase, settings
    from hypothesis.stateful import run_state_machine_as_test

    from tests.runtime.crashing.histories import HISTORIES, play_out
    from tests.runtime.crashing.machine import Commands

    plain = settings(
        max_examples=EXAMPLES, stateful_step_count=STEPS, derandomize=True, database=None, deadline=None,
        phases=[Phase.generate], suppress_health_check=list(HealthCheck),
    )  # fmt: skip
    try:
        for history in HISTORIES:
            play_out(history)
        run_state_machine_as_test(Commands, settings=plain)  # type: ignore[no-untyped-call]
    except Exception as error:  # noqa: BLE001 - a gateway that breaks is noticed too
        print(f"{type(error).__name__}: {error}")
        return 1
    return 0


if __name__ == "__main__":
    sys.exit(main(sys.argv[1]))
