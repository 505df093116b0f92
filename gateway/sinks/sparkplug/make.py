"""Layer 7: the Sparkplug sink from the table `[mqtt]` of the site file. Opens nothing."""

from __future__ import annotations

from pathlib import Path

from gateway.api.follow.history import History
from gateway.api.follow.stream import Stream
from gateway.config import MqttConfig
from gateway.sinks.mqtt.broker import Save
from gateway.sinks.mqtt.make import context_of, password_of, port_of
from gateway.sinks.sparkplug.sink import SaveState, Settings, SparkplugSink
from gateway.sinks.sparkplug.topics import Topics
from gateway.sinks.surroundings import Surroundings


def make(
    config: MqttConfig,
    group: str,
    folder: Path | None,
    surroundings: Surroundings,
    *,
    save: Save,
    save_state: SaveState,
    stream: Stream,
    history: History,
) -> SparkplugSink:
    """Return the sink; `folder` is where relative files of the site start."""
    settings = Settings(
        host=config.host,
        port=port_of(config),
        client_id=f"{config.client_id or f'tidegate-{surroundings.name}'}-sparkplug",
        topics=Topics(group, surroundings.name),
        username=config.username,
        password=password_of(config, folder),
        context=context_of(config, folder),
    )
    return SparkplugSink(settings, surroundings, save, save_state, stream=stream, history=history)
