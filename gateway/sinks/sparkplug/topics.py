"""Layer 7: the topics of one edge node, both ways. Pure."""

from __future__ import annotations

from typing import Final, NamedTuple

NAMESPACE: Final = "spBv1.0"


class Command(NamedTuple):
    """What a topic says that a message is for; None: the edge node itself."""

    device: str | None


class Topics:
    """Names without wildcards and control characters, as the site file is checked for."""

    def __init__(self, group: str, node: str) -> None:
        """Take the group and the name of the gateway."""
        self._group = f"{NAMESPACE}/{group}"
        self._node = node
        self._commands = f"{self._group}/NCMD/{node}"
        self._device_commands = f"{self._group}/DCMD/{node}/"
        self.subscriptions = (self._commands, f"{self._device_commands}+")
        self.never_subscribed = f"{self._group}/NDATA/{node}"

    def node(self, verb: str) -> str:
        """Return the topic of a message about the edge node: NBIRTH, NDATA, NDEATH."""
        return f"{self._group}/{verb}/{self._node}"

    def device(self, verb: str, device: str) -> str:
        """Return the topic of a message about a device: DBIRTH, DDATA, DDEATH."""
        return f"{self._group}/{verb}/{self._node}/{device}"

    def parse(self, topic: str) -> Command | None:
        """Return what a message is for; None: nothing of ours."""
        if topic == self._commands:
            return Command(None)
        if topic.startswith(self._device_commands) and "/" not in topic[len(self._device_commands) :]:
            return Command(topic[len(self._device_commands) :])
        return None
