"""Every profile that ships decodes its golden rows, field by field, and builds them again."""

from __future__ import annotations

import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import msgspec
import pytest

from gateway.cli.inputs_select import joiner_of
from gateway.errors import EncodeError
from gateway.frame import CAN_EXTENDED, Address, Element, Garbage, short_uuid
from gateway.framing.modbus_pdu import Question, answer_in, question_in
from gateway.profile.build import CompiledProfile
from gateway.profile.load import check_profile, load_profile, shipped_profiles
from gateway.profile.unseal import Unsealer
from gateway.schema.advert import elements_of
from gateway.schema.asked import build_asked_matcher
from gateway.schema.cipher import Opened
from gateway.schema.match import apply_when
from gateway.schema.plan import values_of
from gateway.taint import TRUST_RANGE, names_of

Row = dict[str, Any]
SHIPPED = shipped_profiles()
NAMES = sorted(SHIPPED)
FORMS = {"hex", "adv", "candump", "request", "tx"}  # beside "hex", "characteristic": the value of a GATT characteristic


def golden_rows(folder: Path) -> list[Row]:
    text = (folder / "golden.jsonl").read_text(encoding="utf-8")
    rows = [json.loads(line) for line in text.splitlines()]
    assert rows, f"{folder}/golden.jsonl is empty"
    return rows


def all_rows() -> list[Any]:
    rows = []
    for name in NAMES:
        if (SHIPPED[name].parent / "golden.jsonl").is_file():  # its absence is a failure of its own below
            numbered = enumerate(golden_rows(SHIPPED[name].parent), 1)
            rows += [pytest.param(name, row, id=f"{name}-{number}") for number, row in numbered]
    return rows


def compiled(name: str, row: Row | None = None) -> CompiledProfile:
    return CompiledProfile(load_profile(SHIPPED[name], (row or {}).get("params")))


def bodies_of(profile: CompiledProfile, row: Row) -> list[tuple[bytes, Address]]:
    """Return what the row's wire form gives: frames with their addresses; nothing in it may be refused."""
    if "adv" in row:
        unsealer, found = profile.unsealer(), elements_of(row["adv"])
        return found if unsealer is None else [(opened(unsealer, *item), item[1]) for item in found]
    if "tx" in row:
        return [(spi_transfer(profile, row)[1], None)]
    if "request" in row:
        return [(modbus_pair(profile, row)[1], None)]
    if "characteristic" in row:
        return [(bytes.fromhex(row["hex"]), Element("", characteristic=short_uuid(row["characteristic"])))]
    if "candump" in row:
        return on_can(profile, [row["candump"]] if isinstance(row["candump"], str) else row["candump"])
    framer = profile.framer()
    found = framer.feed(bytes.fromhex(row["hex"])) + framer.gap()
    assert not [item for item in found if isinstance(item, Garbage)], "a golden frame is refused by its own framing"
    return [(item, None) for item in found if not isinstance(item, Garbage)]


def opened(unsealer: Unsealer, body: bytes, element: Element) -> bytes:
    result = unsealer.open(body, element)
    assert isinstance(result, Opened), result
    return result.body


def on_can(profile: CompiledProfile, lines: list[str]) -> list[tuple[bytes, Address]]:
    """Return the messages in candump lines, joined where the profile has a transport."""
    joiner, found = joiner_of(profile), []
    for number, line in enumerate(lines):
        identifier, _, data = line.split()[2].partition("#")
        address = int(identifier, 16) | (CAN_EXTENDED if len(identifier) == 8 else 0)
        body = bytes.fromhex(data[2:] if data.startswith("#") else data)
        if joiner is None:
            found.append((body, address))
            continue
        pieces = joiner.feed(address, body, number)
        assert not [piece for piece in pieces if isinstance(piece, Garbage)], "a golden frame is refused by its framing"
        found += [(piece.payload, piece.can_id) for piece in pieces if not isinstance(piece, Garbage)]
    return found


def modbus_pair(profile: CompiledProfile, row: Row) -> tuple[Question, bytes]:
    question = question_in(bytes.fromhex(row["request"]))
    assert isinstance(question, Question)
    assert question.unit == profile.profile.unit
    body = answer_in(bytes.fromhex(row["response"]), question)
    assert isinstance(body, bytes), body
    return question, body


def spi_transfer(profile: CompiledProfile, row: Row) -> tuple[str, bytes]:
    found = profile.transfers().read(bytes.fromhex(row["tx"]), bytes.fromhex(row["rx"]))
    assert not isinstance(found, Garbage), found
    return found


def after_earlier_rows(profile: CompiledProfile, name: str, row: Row) -> Callable[[bytes], tuple[Any, ...]]:
    """Return what decodes this row's message once the transfers above it in its file were read: calibration first."""
    memory, rows = profile.memory(), golden_rows(SHIPPED[name].parent)
    for earlier in rows[: rows.index(row)] if "tx" in row else []:
        message, body = spi_transfer(profile, earlier)
        memory.decoder(message)(body)
    return memory.decoder(row["message"])


def message_of(profile: CompiledProfile, row: Row, body: bytes, address: Address) -> str | None:
    if "tx" in row:
        return spi_transfer(profile, row)[0]
    if "request" in row:
        return build_asked_matcher(profile.profile.message)(modbus_pair(profile, row)[0], body)
    return profile.match(body, address)


def close_to(value: Any) -> Any:
    """Return something equal to `value` up to the last digits of doubles, which scaling by 0.01 and the like moves."""
    if isinstance(value, float):
        return pytest.approx(value, rel=1e-9, abs=1e-12)
    if isinstance(value, list):
        return [close_to(item) for item in value]
    return {key: close_to(item) for key, item in value.items()} if isinstance(value, dict) else value


@pytest.mark.parametrize("name", NAMES)
def test_a_shipped_profile_has_golden_rows(name):
    golden = SHIPPED[name].parent / "golden.jsonl"
    assert golden.is_file(), f"{golden} is missing: a profile ships with vectors from its datasheet"
    for number, row in enumerate(golden_rows(golden.parent), 1):
        assert len(FORMS & row.keys()) == 1, f"{golden}:{number}: one of {FORMS}"
        assert {"message", "values", "source"} <= row.keys(), f"{golden}:{number}"
        assert len(row["source"]) > 10, f"{golden}:{number}: which page of which document says so?"


def test_a_folder_without_golden_rows_is_noticed(tmp_path):
    with pytest.raises(FileNotFoundError):
        golden_rows(tmp_path)
    (tmp_path / "golden.jsonl").write_text("")
    with pytest.raises(AssertionError, match="empty"):
        golden_rows(tmp_path)


@pytest.mark.parametrize("name", NAMES)
def test_a_shipped_profile_has_no_problem(name):
    assert check_profile(SHIPPED[name]) == []


@pytest.mark.parametrize("name", NAMES)
def test_every_message_that_comes_in_has_a_golden_row(name):
    messages = load_profile(SHIPPED[name]).message
    expected = {message for message, spec in messages.items() if spec.direction != "out"}
    assert expected <= {row["message"] for row in golden_rows(SHIPPED[name].parent)}


@pytest.mark.parametrize(("name", "row"), all_rows())
def test_a_golden_row_decodes_to_its_values(name, row):
    profile = compiled(name, row)
    ((body, address),) = bodies_of(profile, row)
    assert message_of(profile, row, body, address) == row["message"]
    plan = profile.messages[row["message"]]
    found = after_earlier_rows(profile, name, row)(profile.body_seen(row["message"], body, address))
    assert values_of(plan, found) == close_to(row["values"])
    assert list(values_of(plan, found)) == list(row["values"]), "values come in field order"
    if "taints" in row:
        assert names_of(found[-1]) == row["taints"]


@pytest.mark.parametrize(("name", "row"), all_rows())
def test_a_golden_row_is_built_again_from_its_values(name, row):
    profile = compiled(name, row)
    plan = profile.messages[row["message"]]
    ((body, address),) = bodies_of(profile, row)
    if plan.decode(profile.body_seen(row["message"], body, address))[-1] & TRUST_RANGE:
        with pytest.raises(EncodeError):  # what lies outside the declared range is read, but never written
            plan.encode(row["values"])
        return
    if profile.profile.message[row["message"]].transform is not None:
        with pytest.raises(EncodeError, match="computed from raw"):
            plan.encode(row["values"])
        return
    body = apply_when(profile.profile.message[row["message"]], plan.encode(row["values"]))
    if "hex" in row and "characteristic" not in row:
        framer = profile.framer()
        (body,) = framer.feed(framer.encode(body)) + framer.gap()
    if profile.profile.message[row["message"]].when.manufacturer == "any":  # the company id leads such a body
        assert isinstance(address, Element)
        address = msgspec.structs.replace(address, manufacturer=int.from_bytes(body[:2], "little"))
        body = body[2:]
    assert message_of(profile, row, body, address) == row["message"]
    again = plan.decode(profile.body_seen(row["message"], body, address))
    assert values_of(plan, again) == close_to(row["values"])
