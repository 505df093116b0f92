"""Layer 6: configurations, read and compiled; each profile's setpoints once."""

from __future__ import annotations

import logging
from collections.abc import Collection
from pathlib import Path
from typing import Final

from gateway.config import SiteConfig, load_site, located
from gateway.errors import ConfigError, GatewayError, Problem
from gateway.profile.build import CompiledProfile
from gateway.profile.load import INSTALLED
from gateway.profile.setpoint import Setpoint, compile_setpoints
from gateway.runtime.blueprint import blueprint
from gateway.runtime.chosen import Choice, Chosen, ChosenFile, holding, put_into, written
from gateway.runtime.difference import Configuration

NONE_CHOSEN: Final[Chosen] = {}

log = logging.getLogger(__name__)


class Configurer:
    """One per gateway."""

    def __init__(self, folder: Path | None, file: Path | None, data_dir: Path, *, has_store: bool) -> None:
        """Take where relative profile paths start, and the site file, if it is one that can be read again.

        In the data folder lie the profiles that were installed, and which of them devices use.
        """
        self.installed = data_dir / INSTALLED
        self._chosen_file = ChosenFile(data_dir)
        self.folder = folder if file is None else file.parent  # where relative paths of the site start
        self._file = file
        self._has_store = has_store
        self._setpoints: dict[CompiledProfile, dict[str, Setpoint]] = {}

    def read_first(self, site: SiteConfig) -> Configuration:
        """Return what the gateway starts with. Raises: ConfigError, ProfileError.

        Choices that cannot be used any more are told of, and the site is taken as it is written.
        """
        chosen = self._chosen_file.load()
        try:
            return self.read(site, chosen)
        except GatewayError as error:
            if not holding(chosen, site):
                raise
            log.warning("devices use the profiles of the site file, for what was chosen cannot be used: %s", error)
            return self.read(site)

    def read(self, site: SiteConfig, chosen: Chosen = NONE_CHOSEN) -> Configuration:
        """Return a site with its profiles, checked; `chosen` ones where they count.

        Raises: ConfigError, ProfileError.
        """
        counting = holding(chosen, site)
        whole = put_into(counting, site)
        try:
            wires = blueprint(whole, self.folder, has_store=self._has_store, installed=self.installed)
            configuration = Configuration(whole, wires, counting)
            for profile in _profiles_of(configuration):
                self.setpoints_of(profile)
        except ConfigError as error:
            if self._file is None:
                raise
            raise ConfigError(located(self._file, error.problems)) from error
        return configuration

    def read_again(self, site: SiteConfig, chosen: Chosen = NONE_CHOSEN) -> Configuration:
        """Return the configuration as it is written now, with all that would hold up the loop done. Not on the loop.

        `site`: what stands where there is no site file; its profiles are read again. Raises: as `read`.
        """
        return self._warmed(self.read(site if self._file is None else load_site(self._file), chosen))

    def choose(self, before: Configuration, device: str, profile: str, by: str) -> Configuration:
        """Return a configuration with another profile for one device, else as it is. Not on the loop.

        What the site file says for the device is no choice: then none counts for it any more. Raises: as `read`.
        """
        site = written(before.chosen, before.site)
        instead_of = site.devices[device].profile
        others = {name: each for name, each in before.chosen.items() if name != device}
        mine = {device: Choice(profile=profile, instead_of=instead_of, by=by)}
        after = self._warmed(self.read(site, others if profile == instead_of else others | mine))
        was, is_ = (each.places()[device][1].profile.profile for each in (before, after))
        if was.link.bus != is_.link.bus:
            told = f"{is_.profile.id} is for {is_.link.bus}, and the device is on {was.link.bus}"
            raise ConfigError([Problem("", 0, f"device.{device}.profile", told)])
        return after

    def settle(self, configuration: Configuration) -> None:
        """Keep what was chosen, for the next start. Not on the loop. Raises: OSError."""
        self._chosen_file.keep(configuration.chosen)

    def _warmed(self, configuration: Configuration) -> Configuration:
        for profile in _profiles_of(configuration):
            profile.warm()
        self.warm()
        return configuration

    def setpoints_of(self, profile: CompiledProfile) -> dict[str, Setpoint]:
        """Return the setpoints of a profile. Raises: ConfigError."""
        if profile not in self._setpoints:
            try:
                self._setpoints[profile] = compile_setpoints(profile)
            except ValueError as error:
                raise ConfigError([Problem(profile.profile.profile.id, 0, "setpoint", str(error))]) from error
        return self._setpoints[profile]

    def warm(self) -> None:
        """Load what builds orders, before the first one has to wait for it. Not on the loop."""
        for setpoints in list(self._setpoints.values()):
            for setpoint in setpoints.values():
                setpoint.warm()

    def keep(self, configuration: Configuration, used: Collection[CompiledProfile]) -> None:
        """Forget profiles that neither the configuration has nor somebody uses still."""
        staying = {*_profiles_of(configuration), *used}
        self._setpoints = {profile: each for profile, each in self._setpoints.items() if profile in staying}


def _profiles_of(configuration: Configuration) -> set[CompiledProfile]:
    return {profile for wire in configuration.wires for profile in wire.profiles}
