"""Layer 3: the site file (PROFILES 10): which devices, on which ports, and what leaves the gateway.

Two tables of two lines make a site; everything else is optional. All problems are told at once with file, line and key.
Whether a profile exists and takes its parameters is known when it is loaded, not here.
"""

from __future__ import annotations

import logging
import re
from collections.abc import Iterable
from pathlib import Path
from typing import Any, Final, Literal

import msgspec

from gateway.api.settings import HttpConfig, MetricsConfig
from gateway.authority.settings import GrantConfig
from gateway.environment import user_state_folder, variable
from gateway.errors import ConfigError, Problem, UsageError
from gateway.ledger.settings import LedgerConfig
from gateway.profile.document import Document
from gateway.profile.findings import Findings
from gateway.profile.model import LINK_KEYS, LinkSpec
from gateway.spelling import nearest

log = logging.getLogger(__name__)

MAX_FILE_BYTES: Final = 4_000_000
MAX_SECRET_BYTES: Final = 4096
BUSES: Final = ("uart", "can", "ble", "spi")
_SEGMENT: Final = re.compile(r"[a-z0-9][a-z0-9_-]*")
UNSAFE_IN_TOPIC: Final = re.compile(r"[+#\x00-\x1f\x7f-\x9f]")
MOST_NAME_CHARS: Final = 255
_NO_HOST: Final = re.compile(r"\s*$|.*[\s/\x00-\x1f\x7f-\x9f]", re.DOTALL)
_NO_TEXT: Final = re.compile(r"\s*$|.*[\x00-\x1f\x7f-\x9f]", re.DOTALL)


class _Table(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True, omit_defaults=True):
    pass


class GatewayConfig(_Table, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """`[gateway]`."""

    name: str | None = None  # None: the host's name
    data: str | None = None  # folder of ledger, socket, compiled plans; None: the user's state folder


class PortConfig(_Table, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """`[port.NAME]`: a wire with options, or that several devices share. Electrical keys override every profile's."""

    path: str
    bus: Literal["uart", "can", "ble", "spi"] | None = None  # None: the devices' profiles say it
    baud: int | None = None
    data_bits: Literal[5, 6, 7, 8] | None = None
    parity: Literal["none", "even", "odd"] | None = None
    stop_bits: float | None = None
    flow: Literal["none", "rtscts", "xonxoff"] | None = None
    rs485: bool | None = None
    exclusive: bool | None = None
    bitrate: int | None = None
    fd: bool | None = None
    data_bitrate: int | None = None
    mode: int | None = None
    speed_hz: int | None = None
    bits: int | None = None

    def applied_to(self, link: LinkSpec) -> LinkSpec:
        """Return a profile's link with the keys of this port in place of its own."""
        keys = [name for name in self.__struct_fields__ if name not in {"path", "bus"}]
        changes = {name: getattr(self, name) for name in keys if getattr(self, name) is not None}
        return msgspec.structs.replace(link, **changes)


class AdjustConfig(_Table, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """`adjust`: value = value * scale + offset after decoding; tainted `trust.adjusted`, raw kept."""

    scale: float = 1.0
    offset: float = 0.0


class SecretConfig(_Table, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """Where a secret is kept: exactly one of a systemd credential and a file."""

    credential: str | None = None
    file: str | None = None


class DeviceConfig(_Table, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """`[device.NAME]`."""

    profile: str  # shipped name, publisher/name@version, or a path beside the site file
    port: str  # path, CAN interface, URL, usb:VID:PID[:serial], or the name of a [port.*]
    params: dict[str, int | str | SecretConfig] = msgspec.field(default_factory=dict)  # a key only by reference
    label: str | None = None
    area: str | None = None
    adjust: dict[str, AdjustConfig] = msgspec.field(default_factory=dict)  # by value name


class DiscoverConfig(_Table, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """`[discover.NAME]`: every device heard becomes NAME-<last four of its address>."""

    profile: str
    port: str
    params: dict[str, int | str | SecretConfig] = msgspec.field(default_factory=dict)
    limit: int = 50  # devices; the oldest silent one is evicted


class MqttConfig(_Table, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """`[mqtt]`: naming a host here is what opens egress to it."""

    host: str
    port: int | None = None  # None: 8883 with TLS, 1883 without
    tls: bool = False
    ca: str | None = None  # PEM file of who signed the broker's certificate; None: what the system trusts
    cert: str | None = None  # PEM file that tells the broker who we are
    key: str | None = None  # and of its key; None: it stands in `cert`
    username: str | None = None
    password: SecretConfig | None = None
    client_id: str | None = None  # None: tidegate-GATEWAY
    base_topic: str = "tidegate"
    format: Literal["plain", "batch", "senml"] = "plain"
    home_assistant: bool = False
    sparkplug: str | None = None  # a group


class SiteConfig(_Table, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """One site file, whole. Relative profile paths in it start at the file's own folder."""

    gateway: GatewayConfig = GatewayConfig()
    devices: dict[str, DeviceConfig] = msgspec.field(default_factory=dict, name="device")
    ports: dict[str, PortConfig] = msgspec.field(default_factory=dict, name="port")
    discover: dict[str, DiscoverConfig] = msgspec.field(default_factory=dict)
    ledger: LedgerConfig = LedgerConfig()
    mqtt: MqttConfig | None = None
    http: HttpConfig | None = None
    metrics: MetricsConfig | None = None
    grants: dict[str, GrantConfig] = msgspec.field(default_factory=dict, name="grant")


def load_site(path: Path | str) -> SiteConfig:
    """Return the site in a TOML file. Raises: ConfigError with everything that is wrong."""
    file = Path(path)
    try:
        with file.open("rb") as stream:
            data = stream.read(MAX_FILE_BYTES + 1)
    except OSError as error:
        raise ConfigError([Problem(str(file), 0, "", f"cannot be read: {error.strerror or error}")]) from error
    return read_site(str(file), data)


def read_site(file: str, data: bytes) -> SiteConfig:
    """Return the site in `data`; what is only odd is logged. Raises: ConfigError with everything that is wrong."""
    from gateway.profile.structure import walk

    document = Document(file, data)
    site: SiteConfig | None = None
    if document.is_readable:
        raw = walk(document, _without_literals(document), SiteConfig)
        site = _salvaged(raw)
        _check(site, Findings(document))
    if site is None or document.has_errors:
        raise ConfigError([problem for problem in document.sorted_problems() if problem.severity == "error"])
    for problem in document.sorted_problems():
        log.warning("%s", problem)
    return site


def site_of_arguments(arguments: Iterable[str]) -> SiteConfig:
    """Return the site that `NAME=PROFILE@PORT` texts spell; NAME may be left out where the profile's will do.

    The profile of `eastron/sdm120@1@/dev/ttyUSB0` keeps its version: the port begins behind the last `@`.
    Raises: UsageError.
    """
    devices: dict[str, DeviceConfig] = {}
    for text in arguments:
        named, equals, rest = text.partition("=")
        is_named = bool(equals) and "@" not in named
        profile, at, port = (rest if is_named else text).rpartition("@")
        if not (at and profile and port):
            raise UsageError(f"{text!r} is no device; write NAME=PROFILE@PORT, for example gps=nmea-gnss@/dev/ttyACM0")
        name = named if is_named else _name_from(profile)
        if not _SEGMENT.fullmatch(name):
            raise UsageError(f"{name!r} cannot name a device; use lower-case letters, digits, '_' and '-'")
        if name in devices:
            raise UsageError(f"two devices are called {name!r}; write NAME=PROFILE@PORT")
        devices[name] = DeviceConfig(profile=profile, port=port)
    return SiteConfig(devices=devices)


def read_secret(secret: SecretConfig, folder: Path | None = None) -> str:
    """Return the text behind a reference, without white space around it; `folder` is where a relative file starts.

    A credential is a file of the folder that systemd names in CREDENTIALS_DIRECTORY (systemd.exec(5)).
    Raises: UsageError, without any part of the secret.
    """
    if secret.credential is not None:
        place = variable("CREDENTIALS_DIRECTORY")
        if not place:
            raise UsageError(f"credential {secret.credential!r}: no CREDENTIALS_DIRECTORY; LoadCredential= sets it")
        path = Path(place) / secret.credential
    elif secret.file is not None:
        path = (folder or Path()) / Path(secret.file).expanduser()
    else:
        raise UsageError("give exactly one of credential and file")
    try:
        with path.open("rb") as stream:
            data = stream.read(MAX_SECRET_BYTES + 1)
        if len(data) > MAX_SECRET_BYTES:
            raise UsageError(f"{path} is no secret: it has more than {MAX_SECRET_BYTES} bytes")
        return data.decode().strip()
    except UnicodeDecodeError as error:
        raise UsageError(f"{path} is no text") from error
    except OSError as error:
        raise UsageError(f"{path} cannot be read: {error.strerror or error}") from error


def data_dir(option: Path | str | None = None, site: SiteConfig | None = None) -> Path:
    """Return the data folder: `--data`, else `TIDEGATE_DATA`, else the site's `data`, else the user's state folder."""
    named = option or variable("TIDEGATE_DATA") or (site.gateway.data if site is not None else None)
    return Path(named).expanduser() if named else user_state_folder()


def located(file: Path, problems: Iterable[Problem]) -> list[Problem]:
    """Return problems that were found after reading with the lines of their keys in the site file."""
    document = Document(str(file), file.read_bytes())
    return [
        each if each.file else Problem(str(file), document.line_of(tuple(each.key.split("."))), each.key, each.message)
        for each in problems
    ]


def _name_from(profile: str) -> str:
    path = Path(profile.partition("@")[0])
    name = path.parent.name if path.name == "profile.toml" else path.stem
    return re.sub(r"[^a-z0-9_-]+", "-", name.lower()).strip("-_") or "device"


def _without_literals(document: Document) -> dict[str, Any]:
    """Return the raw data without secrets written into the file, each refused without repeating it."""
    raw = dict(document.raw)
    for table, key in (("mqtt", "password"),):
        if isinstance(raw.get(table), dict) and isinstance(raw[table].get(key), str):
            message = "a secret is never written here; give { credential = 'name' } or { file = 'path' }"
            document.report((table, key), message)
            raw[table] = {name: value for name, value in raw[table].items() if name != key}
    return raw


def _salvaged(raw: dict[str, Any]) -> SiteConfig:
    """Return the site as far as the data gives one: tables that do not convert are left out."""
    good: dict[str, Any] = {}
    for key, value in raw.items():
        if key in {"device", "port", "discover", "grant"}:
            good[key] = {name: item for name, item in value.items() if _converts({key: {name: item}})}
        elif _converts({key: value}):
            good[key] = value
    return msgspec.convert(good, SiteConfig)


def _converts(part: dict[str, Any]) -> bool:
    try:
        msgspec.convert(part, SiteConfig)
    except msgspec.ValidationError:
        return False
    return True


def _check(site: SiteConfig, found: Findings) -> None:
    for table in ("device", "port", "discover"):
        for name in _names_in(table, found):
            if not _SEGMENT.fullmatch(name):
                found.error(
                    (table, name), f"{name!r} cannot stand in a route; use lower-case letters, digits, '_', '-'"
                )
    for name, port in site.ports.items():
        _check_port(port, ("port", name), found)
    for kind, entries in (("device", site.devices), ("discover", site.discover)):
        for name, entry in entries.items():
            _check_texts(entry, (kind, name), site, found)
    for name, discover in site.discover.items():
        if not 1 <= discover.limit <= 100_000:
            found.error(("discover", name, "limit"), f"{discover.limit} is outside 1..100000 devices")
    for name, device in site.devices.items():
        for value, adjust in device.adjust.items():
            if adjust.scale == 0:
                found.error(("device", name, "adjust", value, "scale"), "0 would make every value the same")
    for key, message in site.ledger.problems():
        found.error(("ledger", key), message)
    named = site.gateway.name
    if named is not None and (
        not named.strip() or "/" in named or UNSAFE_IN_TOPIC.search(named) or len(named) > MOST_NAME_CHARS
    ):
        message = f"{named[:80]!r} cannot stand in a topic; leave '/', '+', '#' and control characters out"
        found.error(("gateway", "name"), message)
    _check_north(site, found)


def _names_in(table: str, found: Findings) -> list[str]:
    """Return the names that a table of tables gives; [] where something else stands in its place, which was told."""
    written = found.written((table,))
    return list(written) if isinstance(written, dict) else []


def _check_port(port: PortConfig, path: tuple[str, str], found: Findings) -> None:
    if not port.path.strip():
        found.error((*path, "path"), "an empty path is no port")
    for key in ("baud", "bitrate", "data_bitrate", "speed_hz"):
        value = getattr(port, key)
        if value is not None and not 0 < value <= 1_000_000_000:
            found.error((*path, key), f"{value} is no rate")
    if port.stop_bits is not None and port.stop_bits not in {1, 1.5, 2}:
        found.error((*path, "stop_bits"), f"{port.stop_bits} is not allowed; one of 1, 1.5, 2")
    if port.bus is None:
        return
    for key in found.written(path) or {}:
        owners = [bus for bus, keys in LINK_KEYS.items() if key in keys]
        if owners and port.bus not in owners:
            found.error((*path, key), f"{key!r} is for {' and '.join(owners)}, not for bus {port.bus!r}")


def _check_texts(
    entry: DeviceConfig | DiscoverConfig, path: tuple[str, str], site: SiteConfig, found: Findings
) -> None:
    for name, value in entry.params.items():
        if isinstance(value, SecretConfig):
            _check_secret(value, (*path, "params", name), found)
    for key in ("profile", "port"):
        if not getattr(entry, key).strip():
            found.error((*path, key), f"an empty text is no {key}")
    near = nearest(entry.port, site.ports) if "/" not in entry.port and entry.port not in site.ports else None
    if near is not None and entry.port not in _names_in("port", found):
        message = f"no [port.{entry.port}], so it is taken as the name of an interface; did you mean {near!r}?"
        found.warn((*path, "port"), message)


def _check_north(site: SiteConfig, found: Findings) -> None:
    if site.mqtt is not None:
        if site.mqtt.port is not None and not 1 <= site.mqtt.port <= 65535:
            found.error(("mqtt", "port"), f"{site.mqtt.port} is no TCP port")
        _check_mqtt(site.mqtt, found)
        if not site.ledger.enabled:
            found.error(("mqtt",), "what is sent comes from the ledger; leave `enabled = false` out of [ledger]")
    if site.http is not None and site.metrics is not None and site.metrics.listen is not None:
        found.error(("metrics", "listen"), f"[http] serves /metrics at {site.http.listen}; leave this out")
    for table, north in (("http", site.http), ("metrics", site.metrics)):
        for key, message in () if north is None else north.problems():
            found.error((table, key), message)
    for name, grant in site.grants.items():
        for key, message in grant.problems():
            found.error(("grant", name, key), message)


def _check_mqtt(mqtt: MqttConfig, found: Findings) -> None:
    if _NO_HOST.match(mqtt.host):
        found.error(
            ("mqtt", "host"), f"{mqtt.host[:80]!r} is no host; give a name or an address, and `port` for the rest"
        )
    for name in ("client_id", "username"):
        told = getattr(mqtt, name)
        if told is not None and _NO_TEXT.match(told):
            found.error(("mqtt", name), "give some text without control characters, or leave it out")
    base = mqtt.base_topic
    if not base or UNSAFE_IN_TOPIC.search(base) or base[0] in "/$" or len(base) > MOST_NAME_CHARS:
        message = f"{base[:80]!r} is no beginning of a topic: no '+', '#', control characters, and no '/' or '$'"
        found.error(("mqtt", "base_topic"), f"{message} in front")
    if mqtt.home_assistant and mqtt.format != "plain":
        message = f"reads a topic for each value: with format = {mqtt.format!r} there is none; leave `format` out"
        found.error(("mqtt", "home_assistant"), f"Home Assistant {message}")
    if mqtt.sparkplug is not None and (
        not mqtt.sparkplug.strip() or "/" in mqtt.sparkplug or UNSAFE_IN_TOPIC.search(mqtt.sparkplug)
    ):
        message = f"{mqtt.sparkplug!r} is no group of Sparkplug: some text without '/', '+', '#' and control characters"
        found.error(("mqtt", "sparkplug"), message)
    if mqtt.key is not None and mqtt.cert is None:
        found.error(("mqtt", "key"), "a key without a certificate; give `cert` too")
    for name in ("ca", "cert", "key"):
        if getattr(mqtt, name) is not None and not mqtt.tls:
            found.error(("mqtt", name), "of no use without `tls = true`")
    if mqtt.password is not None and mqtt.username is None:
        found.error(("mqtt", "password"), "a password without `username`")
    _check_secret(mqtt.password, ("mqtt", "password"), found)


def _check_secret(secret: SecretConfig | None, path: tuple[str, ...], found: Findings) -> None:
    if secret is not None and (secret.credential is None) == (secret.file is None):
        found.error(path, "give exactly one of credential and file")
    elif secret is not None and "/" in (secret.credential or ""):
        found.error((*path, "credential"), f"{secret.credential!r} is no name of a credential; for a path write file")
