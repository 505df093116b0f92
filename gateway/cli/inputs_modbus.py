"""Layer 9: the format `modbus` of `decode`: a request with its answer on each line, both as whole RTU frames.

{"request": HEX, "response": HEX, "t": seconds}; other keys are ignored. Every line gives exactly one message or one
garbage; what is refused is the answer's bytes, or the request's where that is at fault.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator
from typing import Final, NamedTuple

import msgspec

from gateway.cli.inputs import cut
from gateway.errors import UsageError
from gateway.frame import Garbage
from gateway.framing.modbus_pdu import answer_in, question_in
from gateway.framing.spec import ModbusRtu
from gateway.profile.model import Profile
from gateway.schema.asked import build_asked_matcher


class Pair(msgspec.Struct, frozen=True):
    """One line."""

    request: str
    response: str
    t: float | None = None


class Answer(NamedTuple):
    """What an answer carries and which message it is."""

    message: str
    body: bytes
    wire: bytes  # the answer's whole frame


Judged = tuple[float | None, Answer | Garbage]

_PAIR: Final = msgspec.json.Decoder(Pair)
_TABLE: Final = msgspec.json.Decoder(dict[str, msgspec.Raw])
_NOT_JSON: Final = (msgspec.DecodeError, UnicodeDecodeError, RecursionError)


def pairs(profile: Profile, lines: Iterable[bytes | Garbage]) -> Iterator[Judged]:
    """Give what every line is. Raises: UsageError where the profile does not speak Modbus."""
    if not isinstance(profile.framing, ModbusRtu):
        raise UsageError(f"--format modbus needs a profile with framing modbus-rtu; {profile.profile.id} has another")
    judge = _judge(profile)
    for line in lines:
        if isinstance(line, Garbage):
            yield None, line
            continue
        stripped = line.strip()
        if stripped and not stripped.startswith(b"#"):
            yield from _of_line(stripped, judge)


def _of_line(line: bytes, judge: Callable[[bytes, bytes], Answer | Garbage]) -> Iterator[Judged]:
    try:
        pair = _PAIR.decode(line)
    except _NOT_JSON:
        yield from ((None, garbage) for garbage in cut(line, _why_no_pair(line))[:1])
        return
    try:
        request, response = bytes.fromhex(pair.request), bytes.fromhex(pair.response)
    except ValueError:
        yield pair.t, cut(line, "not hex")[0]
        return
    yield pair.t, judge(request, response)


def _why_no_pair(line: bytes) -> str:
    try:
        table = _TABLE.decode(line)
    except _NOT_JSON:
        return "not json"
    missing = [key for key in ("request", "response") if key not in table]
    return f"no {missing[0]}" if missing else "not a pair"


def _judge(profile: Profile) -> Callable[[bytes, bytes], Answer | Garbage]:
    match = build_asked_matcher(profile.message)

    def judge(request: bytes, response: bytes) -> Answer | Garbage:
        question = question_in(request)
        if isinstance(question, str):
            return cut(request, question)[0]
        if profile.unit is not None and question.unit != profile.unit:
            return cut(response, "unit")[0]
        body = answer_in(response, question)
        if isinstance(body, str):
            return cut(response, body)[0]
        name = match(question, body)
        return Garbage(response, "unknown") if name is None else Answer(name, body, response)

    return judge
