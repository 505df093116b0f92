"""What the suites of every rig need beside the plugin's fixtures."""

from __future__ import annotations

import pytest


@pytest.fixture
def device(request, ble):
    """Give the Bluetooth device: the simulated peer, or where the radio is real, the one that a plugin plays."""
    air = request.config.pluginmanager.get_plugin("air")
    if air is None:
        yield ble.peer
        return
    with air.device() as made:
        yield made
