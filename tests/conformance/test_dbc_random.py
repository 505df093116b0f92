"""Databases made at random mean the same to us as to cantools; broken ones are refused and nothing else happens."""

from __future__ import annotations

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from gateway.errors import ProfileError
from gateway.profile.dbc import read_dbc
from gateway.schema.compile import compile_message
from gateway.schema.plan import values_of
from tests.conformance.dbc_corpus import bodies, differences, meaning

cantools_database = pytest.importorskip("cantools.database")

SCALES = ["1", "0.1", "0.25", "-0.5", "2", "1E-5", "3.0517578125E-05", "1000000"]
OFFSETS = ["0", "-40", "0.5", "1E6"]


@st.composite
def places(draw, size, start_bit, widest):
    """Signal places of one byte order that do not overlap: (start as the DBC counts, length, order, sign, float)."""
    order = draw(st.sampled_from("01"))
    bit, found = start_bit, []
    while bit < 8 * size and len(found) < 12:
        bit += draw(st.integers(0, 9))
        kind = draw(st.sampled_from("uuuusf"))
        length = draw(st.sampled_from([32, 64]) if kind == "f" else st.integers(1, widest))
        if bit + length > 8 * size:
            break
        start = bit if order == "1" else 8 * (bit // 8) + 7 - bit % 8
        found.append((start, length, order, "-" if kind == "s" else "+", kind == "f"))
        bit += length
    return found


@st.composite
def databases(draw, widest=70):
    """A DBC of one message, plain or multiplexed by its first byte."""
    size = draw(st.sampled_from([1, 2, 3, 8, 8, 8, 12, 64]))
    is_multiplexed = size > 1 and draw(st.booleans())
    lines, types, labels = [], [], []
    if is_multiplexed:
        lines.append(' SG_ Page M : 0|8@1+ (1,0) [0|0] "" GW')
    pages = draw(st.lists(st.integers(0, 255), min_size=1, max_size=4, unique=True)) if is_multiplexed else [None]
    for page in pages:
        for start, length, order, sign, is_float in draw(places(size, 8 if is_multiplexed else 0, widest)):
            name = f"S{len(lines)}"
            mark = "" if page is None else f" m{page}"
            scale, offset = draw(st.sampled_from(SCALES)), draw(st.sampled_from(OFFSETS))
            lines.append(f' SG_ {name}{mark} : {start}|{length}@{order}{sign} ({scale},{offset}) [0|0] "" GW')
            if is_float:
                types.append(f"SIG_VALTYPE_ 100 {name} : {1 if length == 32 else 2};")
            elif draw(st.integers(0, 3)) == 0:
                labels.append(f'VAL_ 100 {name} 0 "zero" 1 "one" -1 "minus" 255 "top" ;')
    return "\n".join([f'VERSION ""\nBU_: GW\nBO_ 100 M: {size} GW', *lines, *labels, *types, ""])


@settings(max_examples=100, deadline=None)
@given(text=databases())
def test_any_database_decodes_as_cantools_decodes_it(text):
    message = cantools_database.load_string(text, "dbc").messages[0]
    plan = compile_message("M", read_dbc(text, "x.dbc")["M"])
    for body in bodies(message, 4):
        assert differences(values_of(plan, plan.decode(body)), meaning(message, body)) == [], body.hex()
        short = body[: len(body) // 2]
        present = {name: value for name, value in meaning(message, short).items() if value is not None}
        ours = {name: value for name, value in values_of(plan, plan.decode(short)).items() if value is not None}
        assert differences(ours, present) == [], short.hex()


@settings(max_examples=100, deadline=None)
@given(text=databases(widest=50))
def test_any_database_encodes_as_cantools_encodes_it(text):
    """Up to 50 bits: beyond, doubles do not hold every raw number any more."""
    message = cantools_database.load_string(text, "dbc").messages[0]
    plan = compile_message("M", read_dbc(text, "x.dbc")["M"])
    for body in bodies(message, 2):
        values = meaning(message, body)
        try:
            theirs = message.encode(values)
        except (cantools_database.Error, TypeError, OverflowError):  # NaN, or a multiplexer value of its own
            continue
        assert plan.encode(values).hex() == theirs.hex(), values


def outcome(text):
    try:
        return read_dbc(text, "x.dbc"), ()
    except ProfileError as refused:
        return {}, refused.problems


MARKS = ["\n", " ", '"', ";", ":", "|", "@", "BO_ ", "SG_ ", "VAL_ ", "9" * 30, "-1", "1e999", "\x00", "m0M ", "é"]


@settings(max_examples=150, deadline=None)
@given(text=databases(), data=st.data())
def test_a_damaged_database_is_read_or_refused_with_a_line(text, data):
    for _ in range(data.draw(st.integers(1, 3))):
        at = data.draw(st.integers(0, len(text)))
        cut = data.draw(st.integers(0, 8))
        text = text[:at] + data.draw(st.sampled_from(MARKS)) + text[at + cut :]
    messages, problems = outcome(text)
    assert all(problem.line >= 1 and problem.message for problem in problems)
    for name, spec in messages.items():
        plan = compile_message(name, spec)
        plan.decode(b"\x5a" * (spec.length or 0))
        plan.decode(b"")
