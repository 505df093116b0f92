"""Sparkplug 3.0.0 rule by rule, against what went over the wire of one session with a real mosquitto.

Each test is one or a few normative statements about edge nodes; their ids stand beside it. Rules about several brokers,
hosts, templates and data sets say nothing about this gateway: it has one broker, no primary host and no such metrics.
"""

from __future__ import annotations

import asyncio
import time
from collections.abc import Callable, Iterator
from itertools import pairwise
from pathlib import Path
from typing import Any, NamedTuple

import pytest

from tests.integration.test_ports import FarEnd
from tests.runtime.kit import reading
from tests.sinks.mqtt.kit import Broker, needs_broker, until
from tests.sinks.sparkplug.kit import (
    GROUP,
    PREFIX,
    SPARKPLUG_TYPES,
    Host,
    Message,
    Tap,
    edge_node,
    in_state,
    kinds,
    profile,
    pull,
    quiet,
    rebirth,
    spark,
)

pytestmark = needs_broker

BIRTHS = ("NBIRTH", "DBIRTH")
DATA = ("NDATA", "DDATA")
TEMPERATURE = "climate/temperature"


class Session(NamedTuple):
    """What went over the wire in one life of a gateway: a connection that is cut, and one that ends in order."""

    tap: Tap
    heard: list[Message]  # by a host
    began_ms: float
    ended_ms: float

    def of(self, *verbs: str) -> list[Message]:
        return [each for each in self.tap.messages if each.verb in verbs]

    def metrics(self, *verbs: str) -> list[dict[str, Any]]:
        return [metric for each in self.of(*verbs) for metric in each.payload["metrics"]]

    @property
    def connections(self) -> range:
        return range(1, len(self.tap.connects) + 1)


async def _live(folder: Path, broker: Broker) -> Session:
    far = FarEnd(folder / "tty")
    began_ms = time.time() * 1000
    async with Tap(broker.port) as tap:
        with Host(broker.port) as host:
            gateway = edge_node(folder, tap.port, profile("1s"))
            stop = asyncio.Event()
            async with asyncio.timeout(100), asyncio.TaskGroup() as group:
                group.create_task(gateway.run(stop))
                await in_state(gateway, "CONNECTED")
                await until(lambda: host.told("DBIRTH", "node"))
                far.send(kinds())
                for number in range(600):  # far more messages than numbers
                    far.send(reading(number))
                    await asyncio.sleep(0.003)
                far.send(reading(-32768))  # no value
                await quiet(gateway)
                await until(
                    lambda: host.data("node", TEMPERATURE)[-1]["properties"].get("Quality", {}).get("value") == 500
                )
                host.say(rebirth())
                await until(lambda: len(host.told("DBIRTH", "node")) == 2)
                host.say(b"\xff\xff no payload")
                await until(lambda: host.data(None, "Commands/Ignored"))
                tap.cut()
                await until(lambda: spark(gateway)["reconnects"] == 1)
                await quiet(gateway)
                await until(lambda: len(host.told("NBIRTH")) == 3)
                pull(far, folder)
                await until(lambda: host.told("DDEATH", "node"))
                far = FarEnd(folder / "tty")
                await until(lambda: len(host.told("DBIRTH", "node")) == 4)
                stop.set()
            await until(lambda: len(host.told("NDEATH")) == 2)
            return Session(tap, list(host.heard), began_ms, time.time() * 1000)


@pytest.fixture(scope="module")
def session(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Session]:
    folder = tmp_path_factory.mktemp("sparkplug")
    with Broker(folder) as broker:
        yield asyncio.run(_live(folder, broker))


# ---- connections and wills


def test_the_session_is_clean(session: Session) -> None:
    """principles-persistence-clean-session-311."""
    assert all(each.is_clean for each in session.tap.connects)


def test_the_will_is_the_death_of_the_node_with_qos_1_and_not_retained(session: Session) -> None:
    """payloads-ndeath-will-message, -qos, -retain; message-flow-edge-node-birth-publish-will-message-topic."""
    for each in session.tap.connects:
        assert (each.will_topic, each.will_qos, each.is_will_retained) == (f"{PREFIX}/NDEATH/gw", 1, False)


def test_a_death_of_the_node_says_bdseq_and_nothing_else_and_has_no_sequence_number(session: Session) -> None:
    """payloads-ndeath-seq, topics-ndeath-seq, topics-ndeath-payload, payloads-ndeath-bdseq."""
    deaths = [each.payload for each in session.of("NDEATH")] + [each.will for each in session.tap.connects]
    for payload in deaths:
        assert "seq" not in payload
        assert [(each["name"], each["datatype"], each["field"]) for each in payload["metrics"]] == [
            ("bdSeq", 8, "long_value")
        ]


def test_bdseq_starts_at_zero_and_is_one_more_with_each_connect(session: Session) -> None:
    """topics-nbirth-bdseq-increment."""
    assert [each.will["metrics"][0]["value"] for each in session.tap.connects] == [0, 1]


def test_every_birth_of_the_node_has_the_bdseq_of_the_will_of_its_connection(session: Session) -> None:
    """topics-nbirth-bdseq-matching, payloads-nbirth-bdseq-repeat, operational-behavior-...-rebirth-action-3."""
    for each in session.of("NBIRTH"):
        assert each.value("bdSeq") == session.tap.connects[each.connection - 1].will["metrics"][0]["value"]


def test_a_connection_that_is_cut_has_its_death_told_by_the_broker(session: Session) -> None:
    """payloads-ndeath-bdseq."""
    assert [each.value("bdSeq") for each in session.heard if each.verb == "NDEATH"] == [0, 1]


def test_who_leaves_in_order_tells_its_death_before_disconnect(session: Session) -> None:
    """payloads-ndeath-will-message-publisher, payloads-ndeath-will-message-publisher-disconnect-mqtt311."""
    last = [(kind, body) for connection, kind, _, body in session.tap.packets if connection == 2]
    (disconnect,) = [at for at, (kind, _) in enumerate(last) if kind == 14]
    (death,) = [at for at, (kind, body) in enumerate(last) if kind == 3 and b"/NDEATH/" in body[:60]]
    assert death < disconnect
    assert session.of("NDEATH")[0].value("bdSeq") == 1


# ---- subscriptions


def test_commands_are_subscribed_to_with_qos_1_before_the_birth(session: Session) -> None:
    """message-flow-edge-node-ncmd-subscribe, message-flow-device-dcmd-subscribe."""
    for connection in session.connections:
        mine = [(kind, body) for number, kind, _, body in session.tap.packets if number == connection]
        kinds_ = [kind for kind, _ in mine]
        assert kinds_.index(8) < kinds_.index(3)
        (subscribe,) = [body for kind, body in mine if kind == 8]
        assert f"{PREFIX}/NCMD/gw\1".encode() in subscribe
        assert f"{PREFIX}/DCMD/gw/+\1".encode() in subscribe


# ---- messages


@pytest.mark.parametrize("verb", ["NBIRTH", "DBIRTH", "NDATA", "DDATA", "DDEATH"])
def test_births_data_and_deaths_of_devices_go_out_with_qos_0_and_not_retained(session: Session, verb: str) -> None:
    """payloads-{nbirth,dbirth,ndata,ddata}-{qos,retain}; topics-*-mqtt."""
    assert session.of(verb)
    assert {(each.qos, each.is_retained) for each in session.of(verb)} == {(0, False)}


def test_topics_name_group_node_and_device(session: Session) -> None:
    """topics-{nbirth,dbirth,ndata,ddata,ddeath}-topic, topic-structure-namespace-a."""
    topics = {(each.verb, each.device) for each in session.tap.messages}
    assert topics == {
        ("NBIRTH", None), ("NDATA", None), ("NDEATH", None), ("DBIRTH", "node"), ("DDATA", "node"), ("DDEATH", "node"),
    }  # fmt: skip
    assert GROUP in PREFIX


def test_every_message_but_the_death_of_the_node_has_a_sequence_number(session: Session) -> None:
    """payloads-sequence-num-always-included, payloads-{ndata,ddata,dbirth,ddeath}-seq."""
    assert all("seq" in each.payload for each in session.tap.messages if each.verb != "NDEATH")


def test_a_birth_of_the_node_has_sequence_number_zero(session: Session) -> None:
    """payloads-nbirth-seq, topics-nbirth-seq-num: it is written out, though zero is protobuf's default."""
    assert [each.payload["seq"] for each in session.of("NBIRTH")] == [0, 0, 0]


def test_sequence_numbers_rise_by_one_to_255_and_begin_again(session: Session) -> None:
    """payloads-sequence-num-incrementing, payloads-{dbirth,ndata,ddata,ddeath}-seq-inc."""
    seen = set()
    for connection in session.connections:
        numbered = [each for each in session.tap.messages if each.connection == connection and each.verb != "NDEATH"]
        for before, after in pairwise(numbered):
            if after.verb != "NBIRTH":
                assert after.payload["seq"] == (before.payload["seq"] + 1) % 256
        seen |= {each.payload["seq"] for each in numbered}
    assert seen == set(range(256))


def test_every_message_says_when_it_was_sent_in_milliseconds_of_utc(session: Session) -> None:
    """payloads-timestamp-in-UTC, payloads-{nbirth,dbirth,ndata,ddata,ddeath}-timestamp."""
    for each in session.tap.messages:
        assert session.began_ms - 1 <= each.payload["timestamp"] <= session.ended_ms + 1


def test_the_birth_of_the_node_comes_first_and_births_of_devices_before_any_data(session: Session) -> None:
    """principles-birth-certificates-order, payloads-{dbirth,ndata,ddata}-order, ...-dbirth-nbirth-wait."""
    for connection in session.connections:
        verbs = [each.verb for each in session.tap.messages if each.connection == connection]
        assert verbs[:2] == ["NBIRTH", "DBIRTH"]


def test_a_device_tells_data_between_its_birth_and_its_death_only(session: Session) -> None:
    """payloads-ddata-order; topics-ddeath."""
    is_born = False
    for each in session.tap.messages:
        if each.verb == "DDATA":
            assert is_born
        if each.verb in {"NBIRTH", "DDEATH"}:
            is_born = False
        if each.verb == "DBIRTH":
            is_born = True


# ---- metrics


def test_births_name_every_metric_and_data_name_none(session: Session) -> None:
    """payloads-name-requirement, payloads-alias-data-cmd-requirement."""
    assert all(each.get("name") for each in session.metrics(*BIRTHS))
    assert not [each for each in session.metrics(*DATA) if "name" in each]


def test_births_give_aliases_but_for_what_is_written_by_name(session: Session) -> None:
    """payloads-alias-birth-requirement, operational-behavior-data-commands-rebirth-name-aliases."""
    without = {each["name"] for each in session.metrics(*BIRTHS) if "alias" not in each}
    assert without == {"bdSeq", "Node Control/Rebirth"}


def test_an_alias_stands_for_one_metric_of_the_edge_node(session: Session) -> None:
    """payloads-alias-uniqueness."""
    for connection in session.connections:
        births = [each for each in session.of(*BIRTHS) if each.connection == connection]
        known: dict[int, set[tuple[str | None, str]]] = {}
        for each in births:
            for metric in each.payload["metrics"]:
                if "alias" in metric:
                    known.setdefault(metric["alias"], set()).add((each.device, metric["name"]))
        assert all(len(names) == 1 for names in known.values())


def test_data_use_no_alias_that_the_births_before_did_not_give(session: Session) -> None:
    """topics-{nbirth,dbirth}-metric-reqs: births include every metric that will ever be told."""
    known: dict[str | None, set[int]] = {}
    for each in session.tap.messages:
        aliases = {metric["alias"] for metric in each.payload["metrics"] if "alias" in metric}
        if each.verb in BIRTHS:
            known[each.device] = aliases
        if each.verb in DATA:
            assert aliases <= known[each.device]


def test_births_say_the_data_type_of_every_metric_and_data_do_not(session: Session) -> None:
    """payloads-metric-datatype-req, -value, -value-type, -not-req; topics-nbirth-metrics, topics-dbirth-metrics."""
    assert all(each["datatype"] in SPARKPLUG_TYPES for each in session.metrics(*BIRTHS))
    assert not [each for each in session.metrics(*DATA) if "datatype" in each]


def test_every_metric_says_when_its_value_was_captured(session: Session) -> None:
    """payloads-name-birth-data-requirement, payloads-metric-timestamp-in-UTC."""
    for each in session.metrics(*BIRTHS, *DATA):
        assert session.began_ms - 1000 <= each["timestamp"] <= session.ended_ms + 1


FIELD_OF = {3: "int_value", 5: "int_value", 6: "int_value", 8: "long_value", 9: "float_value", 10: "double_value",
            11: "boolean_value", 12: "string_value"}  # fmt: skip


def test_values_come_in_the_field_of_their_data_type(session: Session) -> None:
    """payloads 6.4.16, Sparkplug data types."""
    types: dict[int, int] = {}
    for each in session.metrics(*BIRTHS, *DATA):
        if "datatype" in each:
            types[each.get("alias", -1)] = each["datatype"]
        if "field" in each:
            assert each["field"] == FIELD_OF[each.get("datatype") or types[each["alias"]]]


TYPES = {
    "kinds/byte": (5, 200), "kinds/word": (6, 60_000), "kinds/long": (8, 2**64 - 1), "kinds/signed": (3, 2**32 - 7),
    "kinds/single": (9, 0.5), "kinds/double": (10, 0.1), "kinds/yes": (11, True), "kinds/mode": (12, "busy"),
    "kinds/marks": (12, '["low","hot"]'), "kinds/bytes": (12, "cafe"),
}  # fmt: skip


@pytest.mark.parametrize("name", TYPES)
def test_data_types_follow_the_profile(session: Session, name: str) -> None:
    """payloads-metric-datatype-value."""
    birth = session.of("DBIRTH")[1].payload["metrics"]
    (metric,) = [each for each in birth if each["name"] == name]
    assert (metric["datatype"], metric["value"]) == TYPES[name]


def test_births_have_the_current_value_of_every_metric_or_say_that_there_is_none(session: Session) -> None:
    """operational-behavior-data-publish-{nbirth,dbirth}-values."""
    for each in session.metrics(*BIRTHS):
        assert ("value" in each) != bool(each.get("is_null"))
    again = session.of("DBIRTH")[1]
    (metric,) = [each for each in again.payload["metrics"] if each["name"] == "kinds/word"]
    assert metric["value"] == 60_000


def test_a_value_that_is_absent_is_told_as_null_of_bad_quality(session: Session) -> None:
    """payloads: is_null; payloads-propertyset-quality-value-value."""
    absent = [each for each in session.metrics("DDATA") if each.get("is_null")]
    assert absent
    assert absent[0]["properties"]["Quality"]["value"] == 0
    assert "value" not in absent[0]


# ---- properties


def test_properties_have_as_many_keys_as_values_and_say_their_types(session: Session) -> None:
    """payloads-propertyset-{keys,values}-array-size (the decoder asserts it), payloads-metric-propertyvalue-type-*."""
    found = [value for each in session.metrics(*BIRTHS, *DATA) for value in each["properties"].values()]
    assert found
    assert all(each["type"] in SPARKPLUG_TYPES for each in found)


def test_quality_is_a_whole_number_of_three(session: Session) -> None:
    """payloads-propertyset-quality-value-type, payloads-propertyset-quality-value-value."""
    told = [
        each["properties"]["Quality"] for each in session.metrics(*BIRTHS, *DATA) if "Quality" in each["properties"]
    ]
    assert {(each["type"], each["field"]) for each in told} == {(3, "int_value")}
    assert {each["value"] for each in told} == {0, 192, 500}


def test_births_tell_units_and_limits(session: Session) -> None:
    birth = session.of("DBIRTH")[0].payload["metrics"]
    (metric,) = [each for each in birth if each["name"] == TEMPERATURE]
    told = {name: each["value"] for name, each in metric["properties"].items()}
    assert (told["engUnit"], told["engLow"], told["engHigh"], told["readOnly"]) == ("Cel", -4, 999, True)


# ---- rebirth


def test_the_node_can_be_asked_for_births_by_name(session: Session) -> None:
    """topics-nbirth-rebirth-metric, operational-behavior-data-commands-rebirth-{name,datatype,value}."""
    for each in session.of("NBIRTH"):
        (metric,) = [one for one in each.payload["metrics"] if one["name"] == "Node Control/Rebirth"]
        assert (metric["datatype"], metric["field"], metric["value"]) == (11, "boolean_value", False)


def test_who_asks_for_births_gets_all_of_them_in_one_piece_and_no_death(session: Session) -> None:
    """operational-behavior-data-commands-rebirth-action-1, -2."""
    verbs = [each.verb for each in session.tap.messages if each.connection == 1]
    again = verbs.index("NBIRTH", 1)
    assert verbs[again : again + 2] == ["NBIRTH", "DBIRTH"]
    assert "NDEATH" not in verbs


# ---- history


def test_what_was_there_before_the_births_is_flagged_historical_and_what_comes_after_is_not(session: Session) -> None:
    """payloads: is_historical."""
    newest: dict[int, int] = {}
    for message in session.of("DBIRTH", "DDATA"):
        for each in message.payload["metrics"]:
            seq = each["properties"].get("seq", {}).get("value", 0)
            is_stale = each["properties"].get("Quality", {}).get("value") == 500
            if message.verb == "DBIRTH":
                newest[each["alias"]] = max(seq, newest.get(each["alias"], 0))
            elif each.get("is_historical"):
                assert seq <= max(newest.values())
            elif not is_stale:
                assert seq > newest[each["alias"]]


Rule = Callable[[Session], None]
