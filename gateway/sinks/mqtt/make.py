"""Layer 7: an MQTT sink from its table of the site file. Opens nothing: secrets are read when needed."""

from __future__ import annotations

import ssl
from collections.abc import Callable
from pathlib import Path

from gateway.api.follow.history import History
from gateway.api.follow.stream import Stream
from gateway.config import MqttConfig, read_secret
from gateway.errors import UsageError
from gateway.sinks.mqtt.broker import Save
from gateway.sinks.mqtt.sink import MqttSink, Settings
from gateway.sinks.mqtt.topics import Topics
from gateway.sinks.surroundings import Surroundings

PORT: int = 1883
PORT_TLS: int = 8883


def make(
    config: MqttConfig,
    folder: Path | None,
    surroundings: Surroundings,
    save: Save,
    *,
    stream: Stream,
    history: History,
) -> MqttSink:
    """Return the sink; `folder` is where relative files of the site start."""
    settings = Settings(
        host=config.host,
        port=port_of(config),
        client_id=config.client_id or f"tidegate-{surroundings.name}",
        topics=Topics(config.base_topic, surroundings.name),
        format=config.format,
        is_home_assistant=config.home_assistant,
        username=config.username,
        password=password_of(config, folder),
        context=context_of(config, folder),
    )
    return MqttSink(settings, surroundings, save, stream=stream, history=history)


def port_of(config: MqttConfig) -> int:
    """Return the broker's TCP port."""
    return config.port or (PORT_TLS if config.tls else PORT)


def password_of(config: MqttConfig, folder: Path | None) -> Callable[[], str | None]:
    """Return what reads the password, where there is one: secrets change. It raises: UsageError."""

    def read() -> str | None:
        return None if config.password is None else read_secret(config.password, folder)

    return read


def context_of(config: MqttConfig, folder: Path | None) -> Callable[[], ssl.SSLContext | None]:
    """Return what reads the certificates; it gives None without TLS. It raises: OSError, UsageError."""

    def placed(file: str | None) -> str | None:
        return None if file is None else str((folder or Path()) / Path(file).expanduser())

    def read() -> ssl.SSLContext | None:
        if not config.tls:
            return None
        ca, cert, key = placed(config.ca), placed(config.cert), placed(config.key)
        named = f"ca {ca}"
        try:
            context = ssl.create_default_context(cafile=ca)
            if cert is not None:
                named = f"cert {cert}" + ("" if key is None else f" with key {key}")
                context.load_cert_chain(cert, key)
        except OSError as error:  # of the files, and of what is in them
            raise UsageError(f"{named} cannot be used: {error.strerror or error}") from error
        return context

    return read
