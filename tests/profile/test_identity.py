from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from gateway.errors import UsageError
from gateway.profile.identity import ProfileId, profile_id

NUMBERS = st.integers(0, 30).map(str)
VERSIONS = st.builds(
    "{}.{}.{}{}".format, NUMBERS, NUMBERS, NUMBERS, st.sampled_from(["", "-rc.1", "-rc.2", "-alpha", "-1", "+b1"])
)


def test_versions_are_in_the_order_of_semantic_versioning() -> None:
    texts = [
        "1.0.0-1",
        "1.0.0-alpha",
        "1.0.0-alpha.1",
        "1.0.0-rc.2",
        "1.0.0-rc.11",
        "1.0.0",
        "1.2.0",
        "1.10.0",
    ]
    ages = [ProfileId("p", "n", text).age for text in texts]
    assert ages == sorted(ages)


@given(version=VERSIONS)
def test_an_id_is_what_it_was_read_from_and_answers_to_itself(version: str) -> None:
    known = profile_id(f"acme/pump@{version}")
    assert str(known) == f"acme/pump@{version}"
    assert known.answers_to(str(known))
    assert known.answers_to(f"pump@{version}")
    assert not known.answers_to(f"other/pump@{version}")


def test_the_beginning_of_a_version_means_released_ones_only() -> None:
    assert profile_id("acme/pump@1.2.0").answers_to("acme/pump@1")
    assert profile_id("acme/pump@1.2.0").answers_to("pump")
    assert not profile_id("acme/pump@12.0.0").answers_to("acme/pump@1")
    assert not profile_id("acme/pump@1.3.0-rc.1").answers_to("acme/pump@1")


@pytest.mark.parametrize(
    "text",
    ["", "pump", "acme/pump", "acme/pump@1", "acme/pump@1.0", "Acme/pump@1.0.0", "../pump@1.0.0", "a/b/c@1.0.0",
     ".a/pump@1.0.0", "acme/.pump@1.0.0", "acme/pump@01.0.0", "acme/pump@1.0.0/..", "acme/pump@1.0.0\n",
     "acme/pu\x00mp@1.0.0", f"acme/{'p' * 250}@1.0.0", "acme/pump@\u0661.0.0"],
)  # fmt: skip
def test_what_could_lie_elsewhere_is_no_id(text: str) -> None:
    with pytest.raises(UsageError):
        profile_id(text)
