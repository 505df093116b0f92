"""Layer 6: what the ledger knew of shadows, walls, keys and open commands, back into the dispatch of a new run."""

from __future__ import annotations

import contextlib
from collections.abc import Collection
from typing import Any

import msgspec

from gateway.authority.walls import Walls
from gateway.ledger.fold import Command, State
from gateway.runtime.dispatch import Dispatch
from gateway.runtime.telling import told_of
from gateway.shadow.intent import Intent, Outcome
from gateway.shadow.restart import restarted


class Resumer:
    """Brings one dispatch back to where the last run left it."""

    def __init__(self, dispatch: Dispatch) -> None:
        """Take the dispatch."""
        self._dispatch = dispatch
        self._moment = dispatch.warden.moment()

    def resume(self, state: State) -> None:
        """Take shadows, walls and keys of earlier runs, and go on with the commands that are open."""
        dispatch = self._dispatch
        self._moment = dispatch.warden.moment()
        latest = state.latest("wall").get("")
        if latest is not None:
            with contextlib.suppress(ValueError):
                walls = Walls.from_record(latest.body)
                dispatch.warden.restore(walls)
        dispatch.warden.has_passed(state.sure_wall_ns)
        for twin in dispatch.twins.values():
            twin.restore(state)
        for kept in state.done_commands.values():
            self._remember(kept)
        verdicts = [each.body for each in state.latest("approval").values()]
        approved = {str(body.get("id")) for body in verdicts if _is_yes(body)}
        for kept in list(state.open_commands.values()):
            self._go_on(kept, approved)

    def _remember(self, kept: Command) -> None:
        intent = _intent_of(kept)
        if intent is None or not isinstance(kept.result, dict):
            return
        self._dispatch.commander.ended[intent.id] = told_of(intent, kept.result, kept.outcome)
        self._key_of(intent)
        with contextlib.suppress(ValueError):
            outcome = Outcome(str(kept.result.get("outcome")))
            self._dispatch.keys.ended(intent.id, outcome, kept.outcome)

    def _go_on(self, kept: Command, approved: Collection[str]) -> None:
        """Go on with a command that has no result. One whose setpoint is gone ends as unknown."""
        intent, dispatch = _intent_of(kept), self._dispatch
        if intent is None:
            return
        self._key_of(intent)
        found = dispatch.routes.get(intent.route)
        if found is None:
            dispatch.commander.lose(intent, kept.seq)
            return
        twin, name = found
        reported = twin.shadow.of(name).reported
        command, actions = restarted(
            intent, twin.policies[name], self._moment.monotonic_ns, self._age_ns(intent),
            attempts=max(kept.sendings, kept.sent is not None), is_approved=intent.id in approved,
            old=None if reported is None else reported.value, is_up=twin.is_up,
        )  # fmt: skip
        dispatch.commander.resume(twin, name, command, actions, seq=kept.seq)

    def _key_of(self, intent: Intent) -> None:
        self._dispatch.keys.opened(intent, self._moment.monotonic_ns, self._age_ns(intent) or 0)

    def _age_ns(self, intent: Intent) -> int | None:
        now = self._moment
        return intent.age_ns(now.monotonic_ns, now.wall_ns, machine=now.boot_id, clock=now.quality)


def _intent_of(kept: Command) -> Intent | None:
    try:
        return msgspec.convert(kept.intent, Intent)
    except msgspec.ValidationError:
        return None


def _is_yes(body: Any) -> bool:
    return isinstance(body, dict) and body.get("verdict") == "approve"
