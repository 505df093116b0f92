"""What tests of whole gateways share."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.integration.test_ports import FarEnd
from tests.sinks.mqtt.kit import Broker


@pytest.fixture
def broker(tmp_path: Path) -> Iterator[Broker]:
    """Give a broker of the test's own, which may be killed."""
    with Broker(tmp_path) as broker:
        yield broker


@pytest.fixture
def far(tmp_path: Path) -> FarEnd:
    """Return the device at the other end of `tty`."""
    return FarEnd(tmp_path / "tty")
