"""`tidegate hil shell`: what may be typed there."""

from __future__ import annotations

import textwrap

from click.testing import CliRunner

from hil.cli.shell import command


def typed(text):
    done = CliRunner().invoke(command, ["--seed", "9"], input=textwrap.dedent(text))
    assert done.exit_code == 0, done.output
    return done.output


def test_a_rig_is_tried_with_the_names_that_tests_have():
    said = typed("""\
        uart.peer.on(b"ping", b"pong")
        uart.write(b"ping"); print(uart.read(4), rig.seed)
    """)
    assert "b'pong' 9" in said
    assert said.startswith(
        "rig sim, target sim: ble, ble0, can0, can_bus, clock, dut, faults, gateway, power, rig, spi"
    )


def test_a_whole_gateway_is_at_hand():
    said = typed("""\
        _ = uart.peer.simulate("sdm120")
        gateway.add("meter", profile="sdm120", port="uart0")
        print("volts", gateway.wait("meter/power/voltage").value is not None)
    """)
    assert "volts True" in said
