"""`tidegate encode`, as its users meet it: values in, hex out."""

import json

import pytest
from click.testing import CliRunner

from gateway.cli import exit_code_of
from gateway.cli.decode import command as decode_command
from gateway.cli.encode import command, values_of
from gateway.errors import GatewayError, UsageError
from gateway.profile.load import shipped_profiles

NODE = """
[profile]
id = "test/node@1.0.0"
[params]
unit = { type = "u8", default = 1 }
[link]
bus = "uart"
[framing]
kind = "cobs"
[message.order]
direction = "out"
when = { bytes = { 0 = 7 } }
fields = [
  { type = "u8" },
  { name = "mode", type = "u8", labels = { 0 = "off", 1 = "on" } },
  { name = "level", type = "s16be", scale = 0.5, minimum = -10, maximum = 10, invalid = -32768 },
  { name = "_count", type = "u8" },
  { name = "steps", type = "u8", array = "_count" },
  { name = "key", type = "bytes", length = 2 },
  { name = "name", type = "text", length = 4 },
  { name = "bits", type = "u8", flags = { 0 = "a", 7 = "h" } },
]
"""
GOOD = ["mode=on", "level=-5", "steps=[1, 2, 3]", "key=0102", "name=ab", 'bits=["h"]']


@pytest.fixture(scope="module")
def node(tmp_path_factory):
    path = tmp_path_factory.mktemp("profiles") / "node.toml"
    path.write_text(NODE)
    return path


def encode(*arguments, code=0):
    result = CliRunner().invoke(command, [str(argument) for argument in arguments])
    failure = exit_code_of(result.exception) if isinstance(result.exception, GatewayError) else result.exit_code
    assert failure == code, result.output or result.exception
    return str(result.exception) if code else result.stdout.strip()


def test_values_become_bytes_and_what_has_no_name_is_filled_in(node):
    parts = ["07", "01", "fff6", "03", "010203", "0102", "61620000", "80"]

    assert encode(node, "order", *GOOD) == "".join(parts)


def test_framed_adds_what_the_framing_needs(node):
    body, wire = (bytes.fromhex(encode(node, "order", *GOOD, *options)) for options in ([], ["--framed"]))

    assert len(wire) == len(body) + 2
    assert wire[-1] == 0
    assert 0 not in wire[:-1]


def test_null_is_written_as_the_first_invalid_value(node):
    assert encode(node, "order", *[field for field in GOOD if "level" not in field], "level=null")[4:8] == "8000"


@pytest.mark.parametrize(
    ("change", "told"),
    [
        ("level=10.5", "level"),
        ("level=warm", "level"),
        ("level=-16384", "level"),
        ("mode=dim", "mode"),
        ("mode=256", "mode"),
        ("steps=5", "steps"),
        ("steps=[256]", "steps"),
        ("key=010", "key"),
        ("key=010203", "key"),
        ("name=abcde", "name"),
        ('bits=["z"]', "bits"),
        ("depth=1", "depth"),
        ("level", "FIELD=VALUE"),
        ("=1", "FIELD=VALUE"),
    ],
)
def test_what_cannot_be_written_is_exit_2_and_named(node, change, told):
    name = change.partition("=")[0]
    kept = [field for field in GOOD if not name or not field.startswith(name)]

    assert told in encode(node, "order", *kept, change, code=2)


def test_a_field_that_is_missing_is_named(node):
    assert "level" in encode(node, "order", *[field for field in GOOD if "level" not in field], code=2)


def test_a_message_that_is_not_there_is_told_with_its_neighbour(node):
    assert "order" in encode(node, "ordre", code=2)


@pytest.mark.parametrize(
    ("text", "kind", "value"),
    [
        ("5", "u8", 5),
        ("-1.5", "u8", -1.5),
        ("true", "u8", True),
        ("null", "text", None),
        ("[1, 2]", "u8", [1, 2]),
        ('{"a": 1}', "struct", {"a": 1}),
        ("on", "u8", "on"),
        ('"5"', "text", "5"),
        ("5", "text", "5"),
        ("112233", "bytes", "112233"),
        ("00ff", "bytes", "00ff"),
        ("", "text", ""),
        ("NaN", "f32", "NaN"),
        ("a=b", "text", "a=b"),
        ("[" * 100_000, "u8", "[" * 100_000),
    ],
)
def test_a_value_is_json_if_it_parses_else_text(text, kind, value):
    assert values_of([f"x={text}"], {"x": kind}) == {"x": value}


def test_a_field_may_be_given_once():
    with pytest.raises(UsageError, match="twice"):
        values_of(["x=1", "x=2"], {})


@pytest.mark.parametrize("name", ["pms5003", "sds011", "ublox-nav", "ruuvitag-df5", "motor"])
def test_what_decodes_encodes_to_the_same_values(name):
    golden = shipped_profiles()[name].parent / "golden.jsonl"
    for row in map(json.loads, golden.read_text().splitlines()):
        if "trust.range" in taints_of(name, row):
            continue
        fields = [f"{key}={json.dumps(value)}" for key, value in row["values"].items()]

        body = encode(name, row["message"], *fields)

        address = ["--address", row["candump"].split()[2].partition("#")[0]] if "candump" in row else []
        again = CliRunner().invoke(decode_command, [name, "--payload", "--hex", body, *address])
        assert_near(json.loads(again.stdout)["values"], row["values"])


def assert_near(found, expected):
    """Values equal, numbers within the rounding of doubles."""
    assert found.keys() == expected.keys()
    for key, value in expected.items():
        if isinstance(value, list):
            for one, other in zip(found[key], value, strict=True):
                assert_near(one, other)
        else:
            assert found[key] == (pytest.approx(value, rel=1e-9) if isinstance(value, float) else value)


def taints_of(name, row):
    result = CliRunner().invoke(decode_command, [name, "--format", "jsonl"], input=json.dumps(row))
    return json.loads(result.stdout)["taints"]
