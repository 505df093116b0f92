from __future__ import annotations

from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from gateway.config import DeviceConfig, SiteConfig
from gateway.runtime.chosen import Choice, Chosen, ChosenFile, holding, put_into, written

NAMES = st.sampled_from(["a", "b", "c"])
PROFILES = st.sampled_from(["motor", "x/motor@1.0.0", "x/motor@1.1.0"])
SITES = st.dictionaries(NAMES, PROFILES).map(
    lambda found: SiteConfig(devices={name: DeviceConfig(profile=each, port="can0") for name, each in found.items()})
)
CHOSEN = st.dictionaries(NAMES, st.builds(Choice, profile=PROFILES, instead_of=PROFILES, by=st.just("user:pi")))


def choice(instead_of: str = "motor") -> Chosen:
    return {"pump": Choice(profile="x/motor@1.1.0", instead_of=instead_of, by="user:pi")}


def site(profile: str = "motor") -> SiteConfig:
    return SiteConfig(devices={"pump": DeviceConfig(profile=profile, port="can0")})


def test_a_choice_counts_as_long_as_the_site_says_what_it_said_then() -> None:
    assert holding(choice(), site()) == choice()
    assert holding(choice(), site("other")) == {}
    assert holding(choice(), SiteConfig()) == {}


@given(chosen=CHOSEN, named=SITES)
def test_what_was_put_in_can_be_taken_out_again(chosen: Chosen, named: SiteConfig) -> None:
    counting = holding(chosen, named)
    whole = put_into(counting, named)
    assert {name: whole.devices[name].profile for name in counting} == {k: v.profile for k, v in counting.items()}
    assert written(counting, whole) == named


def test_choices_are_there_again_and_a_file_that_is_none_stands_for_none(tmp_path: Path) -> None:
    assert ChosenFile(tmp_path).load() == {}
    ChosenFile(tmp_path).keep(choice())
    assert ChosenFile(tmp_path).load() == choice()
    assert [path.name for path in tmp_path.iterdir()] == ["chosen-profiles.json"]
    (tmp_path / "chosen-profiles.json").write_text('{"pump": 5')
    assert ChosenFile(tmp_path).load() == {}


def test_a_file_that_cannot_be_written_is_as_it_was(tmp_path: Path) -> None:
    kept = ChosenFile(tmp_path)
    kept.keep(choice())
    (tmp_path / "chosen-profiles.json").unlink()
    (tmp_path / "chosen-profiles.json").mkdir()  # a folder in its place: nothing can be renamed over it
    with pytest.raises(OSError, match="directory"):
        kept.keep({})
    assert [path.name for path in tmp_path.iterdir()] == ["chosen-profiles.json"]
