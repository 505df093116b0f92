"""Layer 2: which Modbus read a message stands for, and which message a read is (PROFILES 4, `ask`).

A message matches a request of its own function, start and count, nothing wider: a request that covers several messages
would be several records, and a part of it that no `ask` names was never the profile's. Among messages with equal `ask`
the first in file order whose `when` holds is meant.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping

from gateway.framing.modbus_pdu import FUNCTIONS, Question
from gateway.schema.match import tests_of
from gateway.schema.spec import AskSpec, MessageSpec

AskedMatcher = Callable[[Question, bytes], str | None]


def question_of(ask: AskSpec, unit: int) -> Question | None:
    """Return what a message's `ask` reads from `unit`; None where it is no Modbus ask."""
    for key, function in FUNCTIONS.items():
        start = getattr(ask, key)
        if start is not None and ask.count is not None:
            return Question(unit, function, start, ask.count)
    return None


def build_asked_matcher(messages: Mapping[str, MessageSpec]) -> AskedMatcher:
    """Return a function from request and answer body to the message's name; None: no message asks this."""
    table: dict[tuple[int, int, int], list[tuple[str, MessageSpec]]] = {}
    for name, spec in messages.items():
        question = question_of(spec.ask, 0) if spec.ask is not None and spec.direction != "out" else None
        if question is not None:
            table.setdefault(question[1:], []).append((name, spec))
    candidates = {key: [(name, tests_of(spec)) for name, spec in entries] for key, entries in table.items()}

    def match(question: Question, body: bytes) -> str | None:
        for name, tests in candidates.get(question[1:], ()):
            if all(test(body, None) for test in tests):
                return name
        return None

    return match
