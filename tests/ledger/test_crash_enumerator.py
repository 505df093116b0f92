"""The enumerator itself, on a log with planted faults: what it must find, it finds; where there is nothing, nothing."""

from __future__ import annotations

import re

import pytest

from tests.crash.__main__ import main
from tests.crash.campaign import Job, enumerate_fault, run_job
from tests.crash.faults import FAULTS
from tests.crash.power import Torn, subsets, torn_content

STATES = 300


@pytest.mark.parametrize("fault", FAULTS)
@pytest.mark.parametrize("scenario", ["toy", "toy-cuts"])
def test_a_sound_log_breaks_no_promise(fault: str, scenario: str) -> None:
    assert run_job(Job("toy", fault, scenario, 1, STATES)).lines == []


@pytest.mark.parametrize(
    ("planted", "fault"),
    [
        ("no_sync", "torn"),
        ("no_archive_sync", "torn"),
        ("no_hot_sync", "reordered"),
        ("no_arc_sync", "reordered"),
        ("no_root_sync", "reordered"),
        ("recycles_live", "torn"),
        ("truncates", "dead-page"),
        ("truncates", "lying"),
    ],
)
def test_a_planted_fault_is_found(planted: str, fault: str) -> None:
    assert run_job(Job(f"toy-{planted}", fault, "toy", 1, STATES)).violations > 0


def test_which_states_there_are_depends_on_the_seed_alone() -> None:
    first, again = ([found.states for found in enumerate_fault("toy", "torn", 500, 7)] for _ in range(2))
    assert first == again


def test_a_violation_names_a_state_that_can_be_made_again(capsys: pytest.CaptureFixture[str]) -> None:
    found = run_job(Job("toy-no_sync", "torn", "toy", 1, STATES))
    name = found.lines[0].removeprefix("violation STATE=")
    assert main([f"STATE={name}"]) == 1
    told = capsys.readouterr().out
    assert f"violation STATE={name}\n" in told
    assert told.endswith("total: 1 states, 1 violations, seed 1\n")


@pytest.mark.parametrize("fault", ["recovery", "eio"])
def test_a_state_of_a_nested_class_can_be_made_again(fault: str, capsys: pytest.CaptureFixture[str]) -> None:
    found = run_job(Job("toy-no_sync", fault, "toy", 1, STATES))
    assert main(["STATE=" + found.lines[0].removeprefix("violation STATE=")]) == 1
    assert "WRONG" in capsys.readouterr().out


def test_the_report_has_a_line_for_each_class_and_a_total(capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["STATES=700", "SEED=3", "SUBJECT=toy"]) == 0
    lines = capsys.readouterr().out.splitlines()
    counts = [
        int(re.fullmatch(rf"{fault}: (\d+) states", line)[1]) for fault, line in zip(FAULTS_TOLD, lines, strict=False)
    ]
    assert lines[len(FAULTS_TOLD) :] == [f"total: {sum(counts)} states, 0 violations, seed 3"]


FAULTS_TOLD = ("torn", "reordered", "recovery", "lying", "dead-page", "eio", "enospc")


@pytest.mark.parametrize("argument", ["STATES=many", "SPEED=1", "STATE=nonsense", "STATE=ledger:wraps:1:torn:9999.9"])
def test_an_argument_that_makes_no_sense_is_refused_in_words(argument: str, capsys: pytest.CaptureFixture[str]) -> None:
    assert main([argument]) != 0
    assert capsys.readouterr().err.count("\n") == 1


def test_up_to_eight_things_all_subsets_are_tried() -> None:
    from random import Random

    assert [len(subsets(count, 8, Random(1))) for count in (0, 1, 8)] == [1, 2, 256]


def test_of_more_things_edges_singles_and_some_others_are_tried() -> None:
    from random import Random

    found = subsets(12, 8, Random(1))
    assert {0, (1 << 12) - 1, 1, 1 << 11, 0b111} <= set(found)
    assert len(found) == len(set(found)) < 100


@pytest.mark.parametrize(
    ("torn", "expected"),
    [
        (Torn(frozenset({0, 1})), b"n" * 1024),
        (Torn(frozenset({0})), b"n" * 512 + b"o" * 88 + bytes(424)),
        (Torn(frozenset({1})), b"o" * 512 + b"n" * 512),
        (Torn(frozenset({0}), "zero"), b"n" * 512 + bytes(512)),
        (Torn(frozenset({1}), "ones"), b"\xff" * 512 + b"n" * 512),
    ],
)
def test_a_torn_file_holds_what_was_written_where_it_was(torn: Torn, expected: bytes) -> None:
    assert torn_content(b"o" * 600, {0: [b"n" * 512], 1: [b"n" * 512]}, torn) == expected


def test_a_file_that_never_grew_ends_where_it_ended() -> None:
    assert torn_content(b"", {0: [b"n" * 512], 1: [b"n" * 512]}, Torn(frozenset({0}))) == b"n" * 512
