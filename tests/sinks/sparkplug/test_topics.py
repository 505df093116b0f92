"""The topics of an edge node."""

from __future__ import annotations

import pytest

from gateway.sinks.sparkplug.topics import Command, Topics

TOPICS = Topics("Plant 1", "gw")


def test_messages_go_below_the_group() -> None:
    assert TOPICS.node("NBIRTH") == "spBv1.0/Plant 1/NBIRTH/gw"
    assert TOPICS.device("DDATA", "node") == "spBv1.0/Plant 1/DDATA/gw/node"


def test_commands_are_for_the_node_or_one_device() -> None:
    assert TOPICS.parse("spBv1.0/Plant 1/NCMD/gw") == Command(None)
    assert TOPICS.parse("spBv1.0/Plant 1/DCMD/gw/node") == Command("node")


@pytest.mark.parametrize(
    "topic",
    ["spBv1.0/Plant 1/NCMD/gw2", "spBv1.0/Plant 1/NCMD/gw/node", "spBv1.0/Plant 1/DCMD/gw",
     "spBv1.0/Plant 1/DCMD/gw/a/b", "spBv1.0/Plant 2/NCMD/gw", "spBv1.0/Plant 1/NDATA/gw", ""],
)  # fmt: skip
def test_everything_else_is_not_for_us(topic: str) -> None:
    assert TOPICS.parse(topic) is None
