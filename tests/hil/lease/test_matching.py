from __future__ import annotations

import pytest

from gateway.errors import UsageError
from hil.lease.errors import NoSuchTargetError
from hil.lease.matching import facts_of, matches, matching, target_name, template_texts

TARGETS = {
    "f4-1": {"board": "nucleo-f4", "probe": "stlink"},
    "f4-2": {"board": "nucleo-f4"},
    "c3": {"board": "esp32-c3"},
}


@pytest.mark.parametrize(
    ("template", "expected"),
    [
        (["board=nucleo-f4"], ["f4-1", "f4-2"]),
        (["board=nucleo-*", "probe=*"], ["f4-1"]),
        (["board=nucleo*", "board=*f4"], ["f4-1", "f4-2"]),
        (["name=c?"], ["c3"]),
        (["board=[en]*"], ["c3", "f4-1", "f4-2"]),
        ([], ["c3", "f4-1", "f4-2"]),
    ],
)
def test_a_target_is_meant_when_all_templates_match(template, expected):
    assert expected == matching(template, TARGETS)


def test_a_fact_that_a_target_lacks_matches_nothing():
    assert not matches(["probe=*"], "f4-2", TARGETS["f4-2"])


def test_letters_count_as_they_are_written():
    assert not matches(["board=NUCLEO-F4"], "f4-1", TARGETS["f4-1"])


@pytest.mark.parametrize("template", ["name=c3", ["name=c3"], ("name=c3",), {"name": "c3"}])
def test_a_template_may_be_a_text_a_list_or_a_mapping(template):
    assert template_texts(template) == ("name=c3",)


def test_one_text_may_hold_several_templates_and_values_may_hold_blanks():
    assert template_texts("board=nucleo-*  site=lab 1 name=c3") == ("board=nucleo-*", "site=lab 1", "name=c3")


@pytest.mark.parametrize("text", ["c3", "=x", "", "a b=c", "k=" + "x" * 300, "k=\x1b[2J", "-k=v"])
def test_what_is_no_template_is_named(text):
    with pytest.raises(UsageError, match="is no template; write KEY=VALUE"):
        template_texts([text])


@pytest.mark.parametrize(
    ("template", "told"),
    [
        (["bord=nucleo-f4"], "none has a fact 'bord'; did you mean 'board'?"),
        (["board=nucleo-f5"], "did you mean board=nucleo-f4?"),
        (["board=zzz"], "there is esp32-c3, nucleo-f4"),
        (["board=esp32-c3", "probe=stlink"], "none fits all of them"),
    ],
)
def test_when_no_target_is_meant_the_error_says_which_part_fits_none(template, told):
    with pytest.raises(NoSuchTargetError) as caught:
        matching(template, TARGETS)
    assert told in str(caught.value)


def test_an_empty_pool_says_how_to_fill_it():
    with pytest.raises(NoSuchTargetError, match="tidegate hil reserve put"):
        matching(["name=*"], {})


@pytest.mark.parametrize("texts", [["name=x"], ["a=1", "a=2"], ["a"], ["a=\x07"]])
def test_facts_that_cannot_be_are_refused(texts):
    with pytest.raises(UsageError):
        facts_of(texts)


@pytest.mark.parametrize("given", ["board=f4 rev=b", ["board=f4", "rev=b"], {"board": "f4", "rev": "b"}])
def test_facts_may_be_a_text_a_list_or_a_mapping(given):
    assert facts_of(given) == {"board": "f4", "rev": "b"}


@pytest.mark.parametrize("name", ["", ".", "..", "a/b", "-a", "a b", "x" * 65, "é"])
def test_a_name_that_is_no_file_s_is_refused(name):
    with pytest.raises(UsageError, match="is no name of a target"):
        target_name(name)
