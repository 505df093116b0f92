"""What holds for the tests of `hil`."""

from __future__ import annotations

from collections.abc import Iterator

import pytest


@pytest.fixture(scope="session", autouse=True)
def _light_children() -> Iterator[None]:
    """Spare the runs that tests start two plugins that no user of `hil` has: a second and more of imports each."""
    with pytest.MonkeyPatch.context() as patched:
        patched.setenv("PYTEST_ADDOPTS", "-p no:schemathesis -p no:hypothesispytest")
        yield
