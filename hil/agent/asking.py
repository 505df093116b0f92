"""One question to an agent: would it give this port? Asked by who looks around; nothing is read or written."""

from __future__ import annotations

import secrets
import time
from typing import Final

from hil.agent.client import token_of_environment
from hil.agent.dialling import Keys, Line, dial
from hil.agent.errors import AgentLostError, AgentProtocolError
from hil.agent.messages import VERSION, Failed, Hello, Incoming, No, Welcome, encoded
from hil.agent.tls import secret_of

ANSWER_S: Final = 5.0
SSH_ANSWER_S: Final = 30.0  # ssh, an interpreter and an agent on a small machine
_READ_BYTES: Final = 65_536

Answer = Welcome | No | Failed


def ask(agent: str, resource: str, target: str | None = None, wait_s: float | None = None) -> Answer:
    """Return what the agent says to one who would have `resource`, and leave. Keys are those of the environment.

    A port that is free is had for that moment. Raises: AgentLostError when no answer comes in time,
    AgentProtocolError, UsageError.
    """
    keys = Keys.of_environment()
    secret = "" if keys.token_file is None else secret_of(keys.token_file)
    limit_s = wait_s or (SSH_ANSWER_S if agent.startswith("ssh://") else ANSWER_S)
    until_s = time.monotonic() + limit_s
    line = dial(agent, target, keys, limit_s)
    try:
        line.socket.settimeout(limit_s)
        line.socket.sendall(encoded(Hello(VERSION, resource, secrets.token_hex(8), secret, token_of_environment())))
        return _first(line, until_s)
    except TimeoutError as error:
        raise AgentLostError(f"{agent} does not answer, in {limit_s:g} s") from error
    except AgentLostError:
        raise
    except OSError as error:
        raise AgentLostError(f"{agent}: {line.last_words() or error}") from error
    finally:
        line.close()


def _first(line: Line, until_s: float) -> Answer:
    incoming = Incoming(from_agent=True)
    while (left_s := until_s - time.monotonic()) > 0:
        line.socket.settimeout(left_s)
        data = line.socket.recv(_READ_BYTES)
        if not data:
            raise AgentLostError(line.last_words() or "it closed the connection without a word")
        try:
            message = next(incoming.feed(data), None)
        except AgentProtocolError as error:
            raise AgentProtocolError(f"what answers is no agent as we know them: {error}") from error
        if isinstance(message, Answer):
            return message
        if message is not None:
            raise AgentProtocolError(f"a {type(message).__name__} where an agent answers")
    raise TimeoutError
