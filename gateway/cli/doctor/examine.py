"""Layer 9: every check of `doctor`, in the order in which a person would go through a machine."""

from __future__ import annotations

from pathlib import Path

from gateway.cli.claims import Claims, gateway_ports
from gateway.cli.doctor import access, board, kernel, radio, rules
from gateway.cli.doctor.extras import extras
from gateway.cli.doctor.host import Finding, Host
from gateway.cli.doctor.site import site_ports, wires
from gateway.cli.doctor.storage import data_folder
from gateway.config import SiteConfig, data_dir, load_site
from gateway.udev.make import SITE_FILE, sealed

CHECKS = (*access.CHECKS, *rules.CHECKS, *kernel.CHECKS, *radio.CHECKS, *board.CHECKS)


def examine(host: Host, site_file: str | None = None, data: str | None = None) -> list[Finding]:
    """Return what every check says of a machine, and of a site on it. Raises: ConfigError for a site that is wrong."""
    site = load_site(site_file) if site_file is not None else None
    findings = [finding for check in CHECKS for finding in check(host)]
    findings += data_folder(host, data_dir(data, site).absolute())
    if site is None or site_file is None:
        return [*findings, *extras(host)]
    return [*findings, *_of_site(host, site, site_file, data)]


def _of_site(host: Host, site: SiteConfig, file: str, data: str | None) -> list[Finding]:
    from gateway.cli.udev_site import rules_of_site

    ports, wrong = wires(site, Path(file).parent)
    findings = list(extras(host, {wire.bus for wire in ports}))
    findings += wrong
    claims = Claims(host.root, gateway_ports(data) if host.is_ours else ())
    findings += site_ports(host, ports, claims)
    text, _ = rules_of_site(file)
    if "\nSUBSYSTEM" in text or "\nACTION" in text:
        findings.append(rules.compared(host, SITE_FILE, sealed(text), f"{rules.INSTALL} {file}"))
    return findings
