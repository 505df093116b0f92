"""`[grant.NAME]` as the site file says it."""

from __future__ import annotations

import pytest

from gateway.authority.settings import GrantConfig, grants_of
from gateway.config import read_site
from gateway.errors import UsageError
from tests.authority.kit import NOW_NS, grant

SITE = b"""
[grant.one]
principal = "user:pi"
routes = "pump/**"
verbs = ["write"]
expires = "2027-01-15T08:00:00Z"
"""


def test_a_table_of_the_site_file_is_a_grant() -> None:
    assert list(grants_of(read_site("site.toml", SITE).grants)) == [grant(expires_ns=NOW_NS)]


def test_a_site_without_grants_grants_nothing() -> None:
    assert len(grants_of(read_site("site.toml", b"").grants)) == 0


def test_everything_wrong_with_a_grant_is_told_at_once() -> None:
    table = GrantConfig(principal="pi", routes="pump", verbs=[], expires="soon")
    assert [key for key, _ in table.problems()] == ["verbs", "principal", "routes", "expires"]


def test_a_grant_that_no_file_was_read_for_is_checked_too() -> None:
    with pytest.raises(UsageError):
        grants_of({"one": GrantConfig(principal="pi", routes="**", verbs=["read"])})
