"""Layer 7: the MQTT sink: says at a broker who is there, and takes requests from it.

What is sent, and in which order, is `delivery`'s; connections are `broker`'s.
"""

from __future__ import annotations

import contextlib
import logging
from collections.abc import Callable
from importlib.metadata import version
from typing import Any

from paho.mqtt.client import MQTTMessage

from gateway.api.follow.history import History
from gateway.api.follow.stream import Stream
from gateway.api.follow.values import json_bytes
from gateway.runtime.crew import Crew
from gateway.sinks.homeassistant.announcer import Announcer
from gateway.sinks.mqtt.broker import BrokerSettings, BrokerSink, Save
from gateway.sinks.mqtt.connection import BrokerError, Connection, Will
from gateway.sinks.mqtt.delivery import Delivery, Format
from gateway.sinks.mqtt.requests import Requests
from gateway.sinks.mqtt.topics import Topics
from gateway.sinks.surroundings import Surroundings

log = logging.getLogger(__name__)


class Settings(BrokerSettings, frozen=True, kw_only=True):
    """Where the broker is, who we are there, and what it is told."""

    topics: Topics
    format: Format
    is_home_assistant: bool  # devices are announced to it


class MqttSink(BrokerSink):
    """One broker."""

    name = "mqtt"

    def __init__(
        self, settings: Settings, gateway: Surroundings, save: Save, *, stream: Stream, history: History
    ) -> None:
        """Take what is followed, live and from the medium."""
        self._topics = settings.topics
        self._gateway = gateway
        self._delivery = Delivery(
            self._topics, settings.format, stream=stream, history=history, devices=gateway.devices, clock=gateway.clock
        )
        self._announcer = Announcer(
            self._topics, gateway.name, is_wanted=settings.is_home_assistant, devices=gateway.devices,
            twins=lambda: gateway.commands.twins, discoveries=gateway.discoveries,
        )  # fmt: skip
        super().__init__(settings, self._delivery, save, stream=stream, history=history)

    async def _will(self) -> Will:
        return Will(self._topics.availability)

    def _hears(self, link: Connection, crew: Crew) -> Callable[[MQTTMessage], None]:
        requests = Requests(
            self._topics, does=self._gateway.does, knows=self._gateway.knows, commands=self._gateway.commands,
            publish=lambda topic, told: _answer(link, topic, told), spawn=crew.spawn,
        )  # fmt: skip
        return lambda message: _take(self._announcer, requests, message)

    async def _greet(self, link: Connection, crew: Crew) -> None:
        stream, gateway = self._stream, self._gateway
        link.subscribe((*self._topics.subscriptions, *self._announcer.subscriptions))
        link.publish(self._topics.availability, b"online", retain=True)
        birth = {
            "name": gateway.name, "version": version("tidegate"), "log": stream.log_id,
            "incarnation": stream.incarnation, "boot": gateway.boot,
        }  # fmt: skip
        link.publish(self._topics.birth, json_bytes(birth), retain=True)
        self._delivery.begin()
        self._tell_presence(link)
        crew.start(self._announcer.run(link), "announce")

    def _farewell(self, link: Connection) -> None:
        link.publish(self._topics.availability, b"offline", retain=True)

    async def _tick(self, link: Connection) -> None:
        self._tell_presence(link)
        await self._delivery.refresh(link)

    def _tell_presence(self, link: Connection) -> None:
        presence = self._delivery.presence
        for device, is_up in presence.online(self._gateway.devices()):
            link.publish(self._topics.device(device), b"online" if is_up else b"offline", retain=True)
        for device, delta in presence.deltas(self._gateway.commands.twins):
            link.publish(self._topics.shadow(device, "delta"), json_bytes(delta))


def _take(announcer: Announcer, requests: Requests, message: MQTTMessage) -> None:
    with contextlib.suppress(UnicodeDecodeError):  # of a topic that no subscription of ours can be meant by
        topic, payload = message.topic, bytes(message.payload)
        if not announcer.take(topic, payload, is_retained=message.retain):
            requests.take(topic, payload, is_retained=message.retain, is_again=message.dup)


def _answer(link: Connection, topic: str, told: Any) -> None:
    if link.is_choked or link.ended.done():
        log.debug("mqtt: an answer has nobody to take it: %s", topic)
        return
    with contextlib.suppress(BrokerError):
        link.publish(topic, json_bytes(told))
