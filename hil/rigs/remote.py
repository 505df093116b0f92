"""Which agents of a rig file answer, and which of their resources are there. Each is waited for a few seconds."""

from __future__ import annotations

from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from typing import Final, NamedTuple

from gateway.errors import GatewayError
from hil.agent.asking import Answer, ask
from hil.agent.errors import AgentLostError
from hil.agent.messages import Failed, Welcome
from hil.rigs.model import RigFile
from hil.rigs.presence import Present

AT_ONCE: Final = 16  # agents

Ask = Callable[[str, str, str], Answer]


class Agent(NamedTuple):
    """One agent."""

    agent: str  # as the rig file says
    answers: bool
    message: str
    fix: str = ""


def reached(rig: RigFile, ask: Ask = ask) -> tuple[list[Agent], list[Present]]:
    """Return every agent that the rig file names, and the resources that it has there."""
    wanted: dict[str, list[tuple[str, str]]] = {}
    for target, spec in rig.target.items():
        for name, resource in spec.resource.items():
            if resource.agent is not None:
                wanted.setdefault(resource.agent, []).append((target, name))
    with ThreadPoolExecutor(AT_ONCE) as pool:
        told = list(pool.map(lambda agent: _asked(agent, wanted[agent], ask), wanted))
    return [agent for agent, _ in told], [each for _, found in told for each in found]


def _asked(agent: str, wanted: list[tuple[str, str]], ask: Ask) -> tuple[Agent, list[Present]]:
    """Ask one agent for all that is wanted of it. One that does not answer is not asked again."""
    found: list[Present] = []
    for target, name in wanted:
        try:
            answer = ask(agent, name, target)
        except GatewayError as error:
            fix = "start it there: tidegate hil agent --help" if isinstance(error, AgentLostError) else ""
            absent = [Present(*each, agent, "", False, "its agent does not answer") for each in wanted[len(found) :]]
            return Agent(agent, False, str(error), fix), [*found, *absent]
        found.append(_present(target, name, agent, answer))
    return Agent(agent, True, "answers"), found


def _present(target: str, name: str, agent: str, answer: Answer) -> Present:
    match answer:
        case Welcome():
            return Present(target, name, agent, answer.port, True, "is there")
        case Failed():
            return Present(target, name, agent, "", False, f"{answer.about}: {answer.cause}")
        case _:
            return Present(target, name, agent, "", False, answer.why)
