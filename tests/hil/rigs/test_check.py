"""Rig files: what is right, and every mistake with its place and the next step."""

from __future__ import annotations

from pathlib import Path
from typing import get_args

import pytest
from hypothesis import given
from hypothesis import strategies as st

from gateway.errors import ConfigError, UsageError
from hil.rigs.check import examine
from hil.rigs.file import load
from hil.rigs.model import Protocol, State, TargetSpec
from hil.rigs.standard import PROTOCOLS, STATES

GOOD = """\
[rig]
name = "bench-3"

[target.a]
states = ["off", "powered", "answering", "configured"]
facts = { board = "cobs-node", revision = 3 }
options = { boot = "normal" }

[target.a.resource.uart0]
protocol = "uart"
port = "usb:10c4:ea60:0001"
peer = "usb:10c4:ea60:0002"
baud = 115200

[target.a.resource.power]
protocol = "power"
hub = "1-1"
hub_port = 2

[target.a.state.answering]
timeout = "5s"
retries = 2
send = "version {boot}\\r\\n"
expect = "node \\\\d{3}"

[target.b]
states = ["powered", "answering"]

[target.b.resource.can0]
protocol = "can"
sim = true
"""


def problems_of(tmp_path: Path, text: str | bytes, **environment: str) -> list[str]:
    file = tmp_path / "rig.toml"
    file.write_bytes(text.encode() if isinstance(text, str) else text)
    problems = examine(file, environment.get).problems
    return [str(problem).replace(f"{tmp_path}/", "") for problem in problems]


def target(lines: str, states: str = 'states = ["off", "powered"]') -> str:
    return f'[rig]\nname = "r"\n[target.a]\n{states}\n{lines}\n'


def uart(lines: str) -> str:
    return target(f'[target.a.resource.uart0]\nprotocol = "uart"\n{lines}')


def power(lines: str) -> str:
    return target(f'[target.a.resource.power]\nprotocol = "power"\n{lines}')


def test_a_good_file_has_no_problem(tmp_path: Path) -> None:
    assert problems_of(tmp_path, GOOD) == []


def test_a_good_file_is_loaded_with_its_link(tmp_path: Path) -> None:
    file = tmp_path / "rig.toml"
    file.write_text(GOOD)
    assert load(file).target["a"].resource["uart0"].link().baud == 115200


def test_the_words_of_a_rig_file_are_those_of_rigs() -> None:
    assert (get_args(Protocol), get_args(State), tuple(TargetSpec().states)) == (PROTOCOLS, STATES, STATES)


def test_real_and_simulated_targets_may_stand_together(tmp_path: Path) -> None:
    both = uart('port = "usb:10c4:ea60:1"') + '[target.b.resource.can0]\nprotocol = "can"\nsim = true\n'
    assert problems_of(tmp_path, both) == []


def test_one_target_is_not_on_two_clocks(tmp_path: Path) -> None:
    both = uart('port = "usb:10c4:ea60:1"') + '[target.a.resource.can0]\nprotocol = "can"\nsim = true\n'
    told = problems_of(tmp_path, both)
    assert len(told) == 1
    assert "can0.sim: real ports of its target run in real time, this one would not" in told[0]


def test_power_that_is_only_pretended_is_warned_of(tmp_path: Path) -> None:
    both = uart('port = "usb:10c4:ea60:1"') + '[target.a.resource.power]\nprotocol = "power"\nsim = true\n'
    told = problems_of(tmp_path, both)
    assert len(told) == 1
    assert "power.sim: warning: beside real ports it switches nothing" in told[0]


def test_a_file_that_is_not_there_names_itself() -> None:
    with pytest.raises(UsageError, match=r"nowhere\.toml cannot be read: No such file"):
        load("nowhere.toml")


def test_a_refused_file_raises_all_its_mistakes(tmp_path: Path) -> None:
    file = tmp_path / "rig.toml"
    file.write_text(uart("baud = 0") + "[target.a.resource.can0]\n")
    with pytest.raises(ConfigError) as refused:
        load(file)
    assert [problem.key for problem in refused.value.problems] == [
        "target.a.resource.uart0.port",
        "target.a.resource.uart0.baud",
        "target.a.resource.can0.protocol",
    ]


MISTAKES = {
    "no name": ("[rig]\n[target.a]\n[target.a.resource.u]\nprotocol='uart'\nsim=true", "rig.toml:1: rig.name: missing"),
    "no target": ('[rig]\nname = "r"', "rig.toml:1: target: no target"),
    "unknown table": (target("[taget.b]"), "rig.toml:5: taget: unknown key 'taget'; did you mean 'target'?"),
    "wrong type": ('rig = 3\n[target.a.resource.u]\nprotocol="uart"\nsim=true', "rig.toml:1: rig: expected a table"),
    "state": (
        target("", 'states = ["of"]'),
        "rig.toml:4: target.a.states[0]: 'of' is not allowed; did you mean 'off'?",
    ),
    "order": (target("", 'states = ["powered", "off"]'), "a board goes through its states in order; write ['off', "),
    "twice in states": (target("", 'states = ["off", "off"]'), "target.a.states: a state stands twice"),
    "no states": (target("", "states = []"), "target.a.states: an empty list"),
    "key twice": (uart('port = "usb:10c4:ea60:1"\nport = "x"'), "resource.uart0.port: given twice; first at line 7"),
    "not TOML": ("[rig\nname", "rig.toml:1: not TOML"),
    "not UTF-8": (b'[rig]\nname = "\xff"', "rig.toml:2: not UTF-8 (byte 0xff)"),
    "neither": (uart(""), "rig.toml:5: target.a.resource.uart0.port: missing"),
    "sim = false": (uart("sim = false"), "target.a.resource.uart0.port: missing"),
    "both": (
        uart('port = "usb:10c4:ea60:1"\nsim = true'),
        "rig.toml:8: target.a.resource.uart0.sim: simulated and with",
    ),
    "sim is no text": (
        uart('sim = "true"'),
        "target.a.resource.uart0.sim: expected true or false, got the text 'true'",
    ),
    "order of plugging": (
        uart('port = "/dev/ttyUSB0"'),
        "write its name under /dev/serial/by-id, or usb:VID:PID:SERIAL",
    ),
    "and by slcan": (
        target('[target.a.resource.can0]\nprotocol = "can"\nport = "slcan:/dev/ttyACM0?sleep_after_open=0"'),
        "/dev/ttyACM0 may be another board after the next plug",
    ),
    "usb": (uart('port = "usb:10c4"'), "uart0.port: write usb:VID:PID or usb:VID:PID:SERIAL"),
    "no interface": (target('[target.a.resource.c]\nprotocol = "can"\nport = "a b"'), "write a network interface"),
    "no adapter": (target('[target.a.resource.b]\nprotocol = "ble"\nport = "blue"'), "no Bluetooth port; write hci0"),
    "no spidev": (target('[target.a.resource.s]\nprotocol = "spi"\nport = "0.0"'), "write a spidev node such as"),
    "recording": (uart('port = "replay:x.log"'), "a recording is no board"),
    "empty port": (uart('port = " "'), "uart0.port: an empty text is no port"),
    "peer of sim": (uart('sim = true\npeer = "usb:10c4:ea60:1"'), "uart0.peer: a simulated resource has its peer"),
    "foreign key": (uart("sim = true\nbitrate = 5"), "uart0.bitrate: 'bitrate' is for can, not for protocol 'uart'"),
    "baud": (uart("sim = true\nbaud = 0"), "uart0.baud: 0 is no rate"),
    "parity": (uart('sim = true\nparity = "evn"'), "uart0.parity: 'evn' is not allowed; did you mean 'even'?"),
    "stop bits": (uart("sim = true\nstop_bits = 3"), "uart0.stop_bits: 3.0 is not allowed; one of 1, 1.5, 2"),
    "name": (target('[target.a.resource."u 0"]\nprotocol = "uart"\nsim = true'), "'u 0' is no name"),
    "a protocol's name": (
        target('[target.a.resource.can]\nprotocol = "uart"\nsim = true'),
        "could mean either; rename",
    ),
    "power": (power(""), "power.hand: missing; how is it switched?"),
    "two ways": (power('hand = true\nhub = "1-1"\nhub_port = 1'), "hand and hub are 2 ways to switch it; keep one"),
    "half a way": (power('hub = "1-1"'), "power.hub_port: missing; 'hub' needs it"),
    "other half": (power("hand = true\nline = 1"), "power.line: belongs to 'gpiochip', which is missing"),
    "port of power": (power('port = "usb:10c4:ea60:1"'), "power.port: 'port' is for uart and can and ble and spi, not"),
    "agent of ble": (
        target('[target.a.resource.ble0]\nprotocol = "ble"\nagent = "pi"'),
        "ble0.agent: 'agent' is for uart and can and spi, not for protocol 'ble'",
    ),
    "agent and port": (uart('agent = "pi"\nport = "/dev/ttyS0"'), "uart0.agent: the agent knows the port; take out"),
    "no hub": (power('hub = "1 1"\nhub_port = 2'), "power.hub: '1 1' is no hub"),
    "command": (power('command_on = ""\ncommand_off = "x \\""'), "power.command_on: an empty command"),
    "state table": (target("[target.a.state.powred]"), "state.powred: unknown state 'powred'; did you mean 'powered'?"),
    "other state": (target("[target.a.state.answering]"), "'answering' is not among the states of this target"),
    "timeout": (target('[target.a.state.off]\ntimeout = "5"'), "off.timeout: '5' is no duration; write for example"),
    "zero": (target('[target.a.state.off]\ntimeout = "0s"'), "off.timeout: must be longer than nothing"),
    "retries": (target("[target.a.state.off]\nretries = -1"), "off.retries: -1 is outside 0..100"),
    "expect": (uart('sim = true\n[target.a.state.powered]\nexpect = "(("'), "'((' is no regular expression"),
    "both sends": (
        uart('sim = true\n[target.a.state.powered]\nsend = "a"\nsend_hex = "00"'),
        "powered.send_hex: beside 'send'; keep one",
    ),
    "no hex": (uart('sim = true\n[target.a.state.powered]\nsend_hex = "0"'), "'0' is not hex"),
    "nobody": (target('[target.a.state.powered]\nsend = "a"'), "powered.send: nobody to talk to"),
    "on": (uart('sim = true\n[target.a.state.powered]\non = "uart1"'), "no resource 'uart1' to talk to; did you mean"),
    "id": (
        uart("sim = true\n[target.a.state.powered]\nsend_id = 1"),
        "send_id: an id is for can; 'uart0' is of protocol",
    ),
    "unset": (
        uart('port = "usb:10c4:ea60:${NO}"'),
        "uart0.port: NO is not set; export NO=..., or write ${NO:-default}",
    ),
    "no reference": (uart('port = "${1}"'), "${1} is no reference; write ${NAME} or ${NAME:-default}"),
    "include": ('[rig]\nname = "r"\ninclude = ["no.toml"]', "rig.toml:3: rig.include[0]: 'no.toml' cannot be read"),
    "itself": ('[rig]\nname = "r"\ninclude = ["rig.toml"]', "'rig.toml' includes itself; take it out"),
}


@pytest.mark.parametrize("name", MISTAKES)
def test_a_mistake_is_told_with_its_place_and_the_next_step(tmp_path: Path, name: str) -> None:
    text, expected = MISTAKES[name]
    told = "\n".join(problems_of(tmp_path, text))
    assert expected in told


def two(first: str, second: str, protocol: str = "uart") -> str:
    head = f'protocol = "{protocol}"\n'
    return target(f"[target.a.resource.r1]\n{head}{first}\n[target.b.resource.r2]\n{head}{second}")


@pytest.mark.parametrize(
    ("protocol", "first", "second"),
    [
        ("uart", 'port = "usb:10C4:ea60:1"', 'port = "usb:10c4:EA60:1"'),
        ("uart", 'port = "usb:10c4:ea60"', 'port = "usb:10c4:ea60:1"'),
        ("uart", 'port = "/dev/serial/by-id/x"', 'port = "/dev/serial/by-id/y"\npeer = "/dev/serial/by-id/x"'),
        ("can", 'port = "can0"', 'port = "socketcan:can0"'),
        ("can", 'port = "slcan:/dev/serial/by-id/x"', 'port = "slcan:/dev/serial/by-id/x?a=1"'),
        ("spi", 'port = "spi0.1"', 'port = "/dev/spidev0.1"'),
        ("ble", 'port = "hci0/aa:bb:cc:dd:ee:ff"', 'port = "hci0/AA:BB:CC:DD:EE:FF"'),
        ("power", 'hub = "1-1"\nhub_port = 2', 'hub = "1-1"\nhub_port = 2'),
        ("power", 'gpiochip = "x"\nline = 2', 'gpiochip = "x"\nline = 2'),
    ],
)
def test_two_boards_with_one_identity_are_refused_with_both_places(
    tmp_path: Path, protocol: str, first: str, second: str
) -> None:
    told = [line for line in problems_of(tmp_path, two(first, second, protocol)) if "warning" not in line]
    assert len(told) == 1, told
    assert "target.a.resource.r1" in told[0]
    assert "(rig.toml:7)" in told[0] or "(rig.toml:8)" in told[0]


@pytest.mark.parametrize(
    ("protocol", "first", "second"),
    [
        ("uart", 'port = "usb:10c4:ea60:1"', 'port = "usb:10c4:ea60:2"'),
        ("can", 'port = "can0"\nshared = true', 'port = "can0"\nshared = true'),
        ("uart", "sim = true", "sim = true"),
        ("power", "hand = true", "hand = true"),
    ],
)
def test_two_boards_with_an_identity_each_are_fine(tmp_path: Path, protocol: str, first: str, second: str) -> None:
    assert problems_of(tmp_path, two(first, second, protocol)) == []


def test_an_identity_that_two_boards_may_have_is_warned_of(tmp_path: Path) -> None:
    told = problems_of(tmp_path, uart('port = "usb:10c4:ea60"'))
    assert len(told) == 1
    assert "warning: any adapter with these ids will do; add its serial number" in told[0]


def test_the_environment_is_put_into_texts(tmp_path: Path) -> None:
    file = tmp_path / "rig.toml"
    file.write_text(uart('port = "usb:10c4:ea60:${SERIAL}"\nfacts = { a = "${NO:-none}", b = "$${X}" }'))
    rig = examine(file, {"SERIAL": "77"}.get).rig
    assert rig is not None
    spec = rig.target["a"].resource["uart0"]
    assert (spec.port, spec.facts) == ("usb:10c4:ea60:77", {"a": "none", "b": "${X}"})


def test_what_a_file_says_stands_above_what_it_includes(tmp_path: Path) -> None:
    (tmp_path / "common.toml").write_text(uart('port = "usb:10c4:ea60:1"\nbaud = 9600'))
    text = '[rig]\nname = "mine"\ninclude = ["common.toml"]\n[target.a.resource.uart0]\nbaud = 115200\n'
    (tmp_path / "rig.toml").write_text(text)
    rig = load(tmp_path / "rig.toml")
    spec = rig.target["a"].resource["uart0"]
    assert (rig.rig.name, spec.port, spec.baud) == ("mine", "usb:10c4:ea60:1", 115200)


def test_a_mistake_in_an_included_file_is_told_there(tmp_path: Path) -> None:
    (tmp_path / "common.toml").write_text(uart("sim = true\nbaud = 0"))
    told = problems_of(tmp_path, '[rig]\nname = "mine"\ninclude = ["common.toml"]\n')
    assert told == ["common.toml:8: target.a.resource.uart0.baud: 0 is no rate"]


def test_files_that_include_each_other_end(tmp_path: Path) -> None:
    (tmp_path / "b.toml").write_text('[rig]\ninclude = ["rig.toml"]')
    told = problems_of(
        tmp_path, '[rig]\nname = "r"\ninclude = ["b.toml"]\n[target.a.resource.u]\nprotocol="uart"\nsim=true'
    )
    assert told == ["b.toml:2: rig.include[0]: 'rig.toml' includes itself; take it out"]


values = st.recursive(
    st.one_of(
        st.sampled_from(
            ["true", "false", "0", "-1", "1e400", "nan", "99999999999999999999", "1979-05-27", "''", "'${A}'"]
        ),
        st.sampled_from(
            ["'uart'", "'can'", "'power'", "'off'", "'usb:1:2'", "'\\0'", "'/dev/ttyUSB0'", "'hci0'", "'5s'"]
        ),
    ),
    lambda inner: st.one_of(
        st.lists(inner, max_size=3).map(lambda items: f"[{', '.join(items)}]"),
        st.dictionaries(st.sampled_from(["a", "protocol", "sim", "port"]), inner, max_size=3).map(
            lambda table: "{" + ", ".join(f"{key} = {item}" for key, item in table.items()) + "}"
        ),
    ),
    max_leaves=6,
)
places = st.sampled_from(
    ["", "[rig]", "[target]", "[target.a]", "[target.a.resource]", "[target.a.resource.r]", "[target.a.state.off]"]
)
words = (
    "name include target states facts options resource state protocol sim port peer shared baud mode hand hub hub_port "
    "gpiochip line command_on command_off settle timeout retries send send_hex send_id expect expect_id on command"
)
keys = st.sampled_from(words.split())


@given(st.lists(st.tuples(places, st.dictionaries(keys, values, max_size=4)), max_size=5, unique_by=lambda t: t[0]))
def test_nothing_that_a_file_says_raises(
    tmp_path_factory: pytest.TempPathFactory, tables: list[tuple[str, dict[str, str]]]
) -> None:
    tables.sort(key=lambda table: table[0] != "")
    text = "\n".join("\n".join([head, *(f"{key} = {value}" for key, value in body.items())]) for head, body in tables)
    file = tmp_path_factory.getbasetemp() / "fuzzed.toml"
    file.write_text(text)
    examined = examine(file, {}.get)
    assert examined.rig is not None or examined.problems


@given(st.binary(max_size=200))
def test_no_bytes_raise(tmp_path_factory: pytest.TempPathFactory, data: bytes) -> None:
    file = tmp_path_factory.getbasetemp() / "bytes.toml"
    file.write_bytes(data)
    assert examine(file, {}.get).unreadable is None


@given(cut=st.integers(0, len(GOOD)))
def test_a_file_cut_anywhere_is_told_of_or_fine(tmp_path_factory: pytest.TempPathFactory, cut: int) -> None:
    file = tmp_path_factory.getbasetemp() / "cut.toml"
    file.write_text(GOOD[:cut])
    examined = examine(file, {}.get)
    assert all(problem.line > 0 for problem in examined.problems)
