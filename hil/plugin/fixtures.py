"""What a test asks for by name. All stand on `rig`."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

import pytest

from hil.plugin.session import hil_of


@pytest.fixture(scope="session")
def hil_target(request: pytest.FixtureRequest) -> str:
    """Give the name of the target that the test runs on."""
    return str(getattr(request, "param", hil_of(request.config).targets[0]))  # unittest knows no parameters


@pytest.fixture(scope="session")
def rig(request: pytest.FixtureRequest, hil_target: str) -> Any:
    """Give the rig: `name seed resources target get(NAME) restore() disk`."""
    del hil_target
    hil = hil_of(request.config)
    return (hil.running or hil.begin_now()).rig


@pytest.fixture
def dut(rig: Any) -> Any:
    """Give the device under test as a whole: `name state boots to(state, timeout=)`."""
    return rig.dut


@pytest.fixture
def clock(rig: Any) -> Any:
    """Give the rig's time: `monotonic_ns() wall_ns() sleep(duration)`."""
    return rig.clock


@pytest.fixture
def faults(rig: Any) -> Any:
    """Give the faults: `add(kind, **params) active`."""
    return rig.faults


@pytest.fixture
def power(rig: Any) -> Any:
    """Give the switch: `on() off()`."""
    return _first(rig, "power")


@pytest.fixture
def uart(rig: Any) -> Any:
    """Give the host's side of the first UART, with the device's as `peer`."""
    return _first(rig, "uart")


@pytest.fixture
def can_bus(rig: Any) -> Any:
    """Give the host's node on the first CAN bus, with the device's as `peer`."""
    return _first(rig, "can")


@pytest.fixture
def ble(rig: Any) -> Any:
    """Give the host's radio, with the device's as `peer`."""
    return _first(rig, "ble")


@pytest.fixture
def spi(rig: Any) -> Any:
    """Give the host's side of the first SPI bus, with the device as `peer`."""
    return _first(rig, "spi")


@pytest.fixture
def gateway(request: pytest.FixtureRequest, rig: Any) -> Iterator[Any]:
    """Give a whole gateway on the rig's ports: `add(name, profile=, port=) wait(route, timeout=)`."""
    made = rig.make_gateway()
    made.folder = request.node.path.parent  # where relative profile paths start
    try:
        yield made
    finally:
        running = hil_of(request.config).running
        if running is not None:
            running.covered.update(made.covered)
        made.close()


@pytest.fixture
def recorder(request: pytest.FixtureRequest, rig: Any) -> Any:
    """Give the writer of notes, measurements and golden files: `note measure assert_golden`."""
    from hil.plugin.recorder import Recorder

    hil = hil_of(request.config)
    assert hil.running is not None
    show = hil.updates.append if hil.options.updates_golden else None
    return Recorder(rig, hil.running, request.node.path, show)


def _first(rig: Any, protocol: str) -> Any:
    """Return the first resource of a protocol; a test that is known to need one, and has none, was skipped before."""
    for name, its in rig.resources.items():
        if its == protocol:
            return rig.get(name)
    pytest.skip(f"hil: missing {protocol}")
