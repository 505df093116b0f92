"""The page of a recorded run."""

from __future__ import annotations

import re
from html.parser import HTMLParser

from hil.measure import Measurement
from hil.report.page import page
from hil.report.results import Kept, Result
from hil.trace.record import make

HOSTILE = "<script>alert(1)</script>"
RECORDS = [
    make(0, "uart0", "tx", "bytes", b"\x01\x02"),
    make(5_000_000, "uart0", "fault", "drop", b"\x03", params={"count": 1}),
    make(9_000_000, "", "note", "note", text=HOSTILE),
]


class Tags(HTMLParser):
    def __init__(self, text):
        super().__init__()
        self.tags, self.open = [], []
        self.feed(text)

    def handle_starttag(self, tag, attrs):
        self.tags.append((tag, dict(attrs)))
        if tag not in ("meta", "line"):
            self.open.append(tag)

    def handle_startendtag(self, tag, attrs):
        self.tags.append((tag, dict(attrs)))

    def handle_endtag(self, tag):
        assert self.open.pop() == tag


def made():
    measured = (Measurement("supply", 3.1, "V", minimum=3.0), Measurement("sleep", 9.0, "uA", maximum=5.0))
    result = Result(
        test=f"test_x{HOSTILE}[sim]", outcome="failed", seed=7, trace="x.trace", measurements=measured,
        reason=f"AssertionError: no pong {HOSTILE}",
        minimal=[{"kind": "drop", "bus": "uart0", "after": 3, "count": 1}],
    )  # fmt: skip
    return page(
        "Run", {"gateway": "1.0", "firmware": HOSTILE}, [result, Result(test="quiet")], [Kept(RECORDS), Kept([])]
    )


def test_every_element_that_opens_closes():
    assert Tags(made()).open == []


def test_it_asks_for_nothing_from_anywhere_and_runs_nothing():
    text = made()
    assert not re.search(r"https?://|src=|href=|@import|url\(", text)
    assert "<script" not in text


def test_control_characters_are_marks_in_it_so_that_it_stays_text():
    note = make(0, "", "note", "note", text="\x00 \x1b[2J")
    text = page("Run", {}, [Result(test="it", outcome="failed", reason="first\n\x07second")], [Kept([note])])
    assert re.findall(r"[\x00-\x08\x0b-\x1f]", text) == []
    assert "first\n" in text


def test_it_tells_outcome_seed_limits_records_and_the_faults_that_matter():
    text = made()
    for told in ("1 failed", "no pong", "seed 7", "at least 3", "fail", "0102", "drop", "no traffic", "after=3"):
        assert told in text
