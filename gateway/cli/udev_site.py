"""Layer 9: what a site wants of udev: a link for each USB adapter it names, its CAN interfaces brought up."""

from __future__ import annotations

from pathlib import Path

from gateway.config import SiteConfig, data_dir, load_site
from gateway.errors import GatewayError, UsageError
from gateway.profile.load import INSTALLED, example_profile, find_profile
from gateway.profile.model import LinkSpec
from gateway.udev.identity import parse_usb
from gateway.udev.make import CanInterface, SerialLink, site_rules


def rules_of_site(file: str) -> tuple[str, list[str]]:
    """Return the rules of a site file, and what it names that no rule can be made for. Raises: ConfigError."""
    site = load_site(file)
    links: list[SerialLink] = []
    interfaces: list[CanInterface] = []
    notes: list[str] = []
    for name, target, link in _ports(site, Path(file).parent, notes):
        identity = parse_usb(target)
        if link.bus == "uart" and identity is not None:
            links.append(SerialLink(name, identity))
        elif link.bus == "can" and (identity is not None or ":" not in target):
            if link.bitrate is None:
                notes.append(f"{name}: nobody says the bit rate of {target}; write bitrate = 500000 or the like")
                continue
            data_bitrate = link.data_bitrate if link.fd else None
            interfaces.append(CanInterface(name, identity or target, link.bitrate, data_bitrate))
    return site_rules(Path(file).name, links, interfaces), notes


def _ports(site: SiteConfig, folder: Path, notes: list[str]) -> list[tuple[str, str, LinkSpec]]:
    """Return name, port text and link of every wire, once each: the port's name if it has one, else the device's."""
    found: dict[str, tuple[str, str, LinkSpec]] = {}
    for kind, entries in (("device", site.devices), ("discover", site.discover)):
        for name, entry in entries.items():
            try:
                link = example_profile(find_profile(entry.profile, folder, data_dir(None, site) / INSTALLED)).link
            except (GatewayError, UsageError) as error:
                notes.append(f"{kind}.{name}: left out: {error}")
                continue
            port = site.ports.get(entry.port)
            applied = port.applied_to(link) if port is not None else link
            target = port.path if port is not None else entry.port
            known = found.get(target)
            if known is None or (known[2].bitrate is None and applied.bitrate is not None):
                found[target] = (entry.port if port is not None else name, target, applied)
    return list(found.values())
