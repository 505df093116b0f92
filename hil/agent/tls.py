"""Who may speak to whom, and over what: TLS settings of agent and runner."""

from __future__ import annotations

import ipaddress
import logging
import ssl
from pathlib import Path
from typing import Final

from gateway.errors import UsageError

_LEAST_SECRET_CHARS: Final = 16

log = logging.getLogger(__name__)


def is_loopback(host: str) -> bool:
    """Return whether an address is of this machine alone."""
    if host == "localhost":
        return True
    try:
        return ipaddress.ip_address(host).is_loopback
    except ValueError:
        return False


def check_listening(host: str, *, has_tls: bool, knows_runners: bool) -> None:
    """Refuse to serve a network in the clear, or anybody in it. Raises: UsageError."""
    if is_loopback(host):
        return
    if not has_tls:
        raise UsageError(f"{host} can be reached from other machines: give --cert and --key, or listen on 127.0.0.1")
    if not knows_runners:
        raise UsageError(f"{host} can be reached by anybody: give --client-ca or --token-file")


def server_context(certificate: Path, key: Path, client_ca: Path | None) -> ssl.SSLContext:
    """Return the agent's settings; with `client_ca` runners need a certificate of it. Raises: UsageError."""
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    context.minimum_version = ssl.TLSVersion.TLSv1_2
    _load_own(context, certificate, key)
    if client_ca is not None:
        context.verify_mode = ssl.CERT_REQUIRED
        _load_authority(context, client_ca)
    return context


class Papers:
    """The agent's certificate and its key: files that may be renewed while it runs."""

    def __init__(self, certificate: Path, key: Path, client_ca: Path | None) -> None:
        """Load them. Raises: UsageError."""
        self.context = server_context(certificate, key, client_ca)
        self._files = (certificate, key)
        self._loaded = self._stamps()

    def renew(self) -> None:
        """Show what the files hold by now to whoever connects next, where they changed and belong together."""
        stamps = self._stamps()
        if stamps == self._loaded:
            return
        self._loaded = stamps
        try:
            for context in (ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER), self.context):  # the first to see whether it goes
                _load_own(context, *self._files)
            log.info("certificate renewed: file=%s", self._files[0])
        except UsageError as error:
            log.warning("certificate not renewed: reason=%s", error)

    def _stamps(self) -> list[tuple[int, int, int] | None]:
        return [_stamp_of(file) for file in self._files]


def client_context(authority: Path | None, certificate: Path | None, key: Path | None) -> ssl.SSLContext:
    """Return the runner's settings. Raises: UsageError.

    The agent must show a certificate for its name, of `authority` or else one of the system's.
    """
    context = ssl.create_default_context()
    context.minimum_version = ssl.TLSVersion.TLSv1_2
    if authority is not None:
        context = ssl.SSLContext(ssl.PROTOCOL_TLS_CLIENT)
        context.minimum_version = ssl.TLSVersion.TLSv1_2
        _load_authority(context, authority)
    if certificate is not None:
        _load_own(context, certificate, key or certificate)
    return context


def secret_of(file: Path) -> str:
    """Return the token of a file. Raises: UsageError."""
    try:
        secret = file.read_text(encoding="ascii").strip()
    except (OSError, UnicodeDecodeError) as error:
        raise UsageError(f"{file} cannot be read as a token: {error}") from error
    if len(secret) < _LEAST_SECRET_CHARS:
        raise UsageError(f"{file} holds a token of {len(secret)} characters; make one: openssl rand -hex 32 > {file}")
    return secret


def _stamp_of(file: Path) -> tuple[int, int, int] | None:
    try:
        found = file.stat()
    except OSError:
        return None
    return found.st_ino, found.st_mtime_ns, found.st_size


def _load_own(context: ssl.SSLContext, certificate: Path, key: Path) -> None:
    try:
        context.load_cert_chain(certificate, key)
    except (OSError, ssl.SSLError) as error:
        raise UsageError(f"{certificate} and {key} are no certificate and its key: {error}") from error


def _load_authority(context: ssl.SSLContext, file: Path) -> None:
    try:
        context.load_verify_locations(file)
    except (OSError, ssl.SSLError) as error:
        raise UsageError(f"{file} is no certificate authority: {error}") from error
