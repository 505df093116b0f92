"""How a scripted device finds requests in what it hears."""

from __future__ import annotations

import re

import pytest
from hypothesis import given
from hypothesis import strategies as st

from hil.peers.uart_script import MOST_REMEMBERED, UartRule, UartScript


def script(*rules):
    made = UartScript()
    for rule in rules:
        made.add(rule)
    return made


def heard(the_script, *chunks):
    found = [each for chunk in chunks for each in the_script.hear(chunk)]
    return [request if isinstance(request, bytes) else request.group() for _, request in found]


@st.composite
def cut_streams(draw):
    stream = draw(st.lists(st.sampled_from([b"ping", b"pin", b"set 7\r", b"set 12\r", b"\0", b"go"]), max_size=12))
    data = b"".join(stream)
    cuts = sorted(draw(st.sets(st.integers(0, len(data)), max_size=6)))
    return data, [data[begin:end] for begin, end in zip([0, *cuts], [*cuts, len(data)], strict=True)]


@given(cut_streams())
def test_where_the_stream_is_cut_does_not_matter(stream):
    data, chunks = stream
    rules = [
        (b"ping", None), (re.compile(rb"set (\d+)\r"), None), (b"go", "idle"), (b"go", "busy"),
    ]  # fmt: skip
    then = {"idle": "busy", "busy": "idle"}
    whole, cut = (
        script(*(UartRule(each, b"ok", when=when, then=then.get(when)) for each, when in rules)) for _ in "ab"
    )
    assert heard(whole, data) == heard(cut, *chunks)
    assert whole.state == cut.state


def test_a_request_is_found_behind_what_is_none():
    assert heard(script(UartRule(b"ping", b"pong")), b"\xff\xffpi", b"ng", b"pingping") == [b"ping"] * 3


def test_what_was_recognised_is_no_part_of_the_next_request():
    assert heard(script(UartRule(b"aa", b"")), b"aaa") == [b"aa"]


def test_the_rule_that_was_added_last_counts():
    old, new = UartRule(b"?", b"old"), UartRule(b"?", b"new")
    both = script(old, new)
    assert [rule for rule, _ in both.hear(b"?")] == [new]
    both.remove(new)
    both.remove(new)
    assert [rule for rule, _ in both.hear(b"?")] == [old]


def test_the_first_requests_can_be_ignored():
    rule = UartRule(b"?", b"!", ignore=2, when="a", then="b")
    made = script(rule)
    assert heard(made, b"?", b"?") == []
    assert made.state == "a"
    assert heard(made, b"?") == [b"?"]
    assert (made.state, rule.heard) == ("b", 3)


def test_a_state_says_which_requests_are_heard_and_where_they_lead():
    made = script(
        UartRule(b"start", b"1", when="idle", then="running"), UartRule(b"stop", b"2", when="running", then="idle")
    )
    assert made.state == "idle"
    assert heard(made, b"stop", b"start", b"start", b"stop") == [b"start", b"stop"]


def test_a_restart_forgets_the_state_and_half_a_request():
    made = script(UartRule(b"go", b"", when="idle", then="gone"), UartRule(b"xy", b""))
    assert heard(made, b"gox") == [b"go"]
    made.restart()
    assert made.state == "idle"
    assert heard(made, b"y") == []


def test_what_a_pattern_found_in_another_state_is_past():
    made = script(UartRule(b"on", b"", when="off", then="on"), UartRule(re.compile(rb"get \d;"), b"", when="on"))
    assert heard(made, b"get 1;on", b"get 2;") == [b"on", b"get 2;"]


def test_noise_without_end_is_forgotten():
    made = script(UartRule(re.compile(rb"a.*z"), b""))
    assert heard(made, b"a" + b"." * MOST_REMEMBERED, b"z") == []


@pytest.mark.parametrize(
    ("request_", "reply", "ignore", "named"),
    [
        (b"", b"!", 0, "empty"), ("ping", b"!", 0, "give bytes"), (re.compile("a"), b"!", 0, "of text"),
        (re.compile(rb"a*"), b"!", 0, "nothing was sent"), (b"?", "!", 0, "reply"), (b"?", b"!", -1, "ignore"),
    ],
)  # fmt: skip
def test_a_rule_that_is_none_is_refused_by_name(request_, reply, ignore, named):
    with pytest.raises(ValueError, match=named):
        UartRule(request_, reply, ignore=ignore)
