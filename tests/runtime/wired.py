"""A site, wired as the gateway wires it, on ports of a test's choice."""

from __future__ import annotations

from pathlib import Path

from gateway.clock import Clock
from gateway.config import SiteConfig
from gateway.runtime.blueprint import blueprint
from gateway.runtime.supervisor import Keeper
from gateway.runtime.wiring import DriverFor, Fitter, wire


def wired(site: SiteConfig, folder: Path, clock: Clock, driver_for: DriverFor) -> list[Keeper]:
    """Return one keeper per port. Raises: as `blueprint` and `wire`."""
    plans = blueprint(site, folder, has_store=False)
    return [keeper for _, keeper in wire(plans, Fitter(clock, driver_for))]
