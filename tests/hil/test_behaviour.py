from __future__ import annotations

import pytest

from hil.sim.behaviour import GOOD, Behaviour


def test_no_words_are_a_good_device():
    assert Behaviour.said([]) == Behaviour() == GOOD


def test_words_are_facts_and_a_bare_word_is_true():
    said = Behaviour.said(["lies", "slow_s=0.5", "clamp=[20,60]", "ack_after_s=null", "condition=manual"])
    assert said == Behaviour(lies=True, slow_s=0.5, clamp=(20, 60), ack_after_s=None, condition="manual")


def test_facts_of_json_and_words_say_the_same():
    assert Behaviour.of({"clamp": [1, 2], "lag_s": 3}) == Behaviour.said(["clamp=[1,2]", "lag_s=3"])


@pytest.mark.parametrize(
    ("word", "complaint"),
    [
        ("lazy", "no behaviour 'lazy'; there are ack_after_s, clamp"),
        ("lies=1", "lies is 1; true or false"),
        ("slow_s=-1", "slow_s is -1; 0 to 60 seconds"),
        ("slow_s=1e9", "slow_s is 1000000000.0; 0 to 60 seconds"),
        ("slow_s=NaN", "slow_s is nan"),
        ("slow_s=null", "slow_s is None"),
        ("slow_s", "slow_s is True"),
        ("ack_after_s=later", "ack_after_s is 'later'"),
        ("drift_per_s=Infinity", "drift_per_s is inf; a number"),
        ("clamp=[60,20]", r"clamp is \(60, 20\); two numbers, the lower one first"),
        ("clamp=ab", r"clamp is \('a', 'b'\)"),
        ("clamp=5", "clamp is 5"),
        ("condition=7", "condition is 7; a word"),
    ],
)
def test_what_is_no_behaviour_is_refused_with_its_name(word, complaint):
    with pytest.raises(ValueError, match=complaint):
        Behaviour.said([word])


def test_a_condition_must_be_one_that_the_device_has():
    with pytest.raises(ValueError, match="no condition 'stall' here; there are none"):
        Behaviour(condition="stall").known_to(())
