"""Layer 6: configurations, read and compiled; each profile's setpoints once."""

from __future__ import annotations

from collections.abc import Collection
from pathlib import Path

from gateway.config import SiteConfig, load_site, located
from gateway.errors import ConfigError, Problem
from gateway.profile.build import CompiledProfile
from gateway.profile.setpoint import Setpoint, compile_setpoints
from gateway.runtime.blueprint import blueprint
from gateway.runtime.difference import Configuration


class Configurer:
    """One per gateway."""

    def __init__(self, folder: Path | None, file: Path | None, *, has_store: bool) -> None:
        """Take where relative profile paths start, and the site file, if it is one that can be read again."""
        self.folder = folder if file is None else file.parent  # where relative paths of the site start
        self._file = file
        self._has_store = has_store
        self._setpoints: dict[CompiledProfile, dict[str, Setpoint]] = {}

    def read(self, site: SiteConfig) -> Configuration:
        """Return a site with its profiles, checked. Raises: ConfigError, ProfileError."""
        try:
            configuration = Configuration(site, blueprint(site, self.folder, has_store=self._has_store))
            for profile in _profiles_of(configuration):
                self.setpoints_of(profile)
        except ConfigError as error:
            if self._file is None:
                raise
            raise ConfigError(located(self._file, error.problems)) from error
        return configuration

    def read_again(self, site: SiteConfig) -> Configuration:
        """Return the configuration as it is written now, with all that would hold up the loop done. Not on the loop.

        `site`: what stands where there is no site file; its profiles are read again. Raises: as `read`.
        """
        configuration = self.read(site if self._file is None else load_site(self._file))
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
