"""What importing may not load: the core starts in a fraction of a second."""

from __future__ import annotations

import subprocess
import sys

import pytest

HEAVY = [
    "construct",
    "cantools",
    "can",
    "serial",
    "asyncio",
    "drivers",
    "hil",
    "profiles",
    "bleak",
    "cryptography",
    "paho",
    "google",
    "starlette",
]


def loaded_by(code: str) -> set[str]:
    script = f"{code}\nimport sys\nprint('\\n'.join(sys.modules))"
    done = subprocess.run([sys.executable, "-c", script], capture_output=True, text=True, check=True, timeout=120)
    return {name.split(".")[0] for name in done.stdout.split("\n")}


@pytest.mark.parametrize(
    "module",
    [
        "gateway",
        "gateway.authority.decision",
        "gateway.authority.keyfile",
        "gateway.profile.build",
        "gateway.profile.load",
        "gateway.cli",
        "gateway.cli.decode",
        "gateway.cli.scan",
        "gateway.cli.udev",
        "gateway.cli.doctor",
        "gateway.cli.ledger",
        "gateway.cli.ledger_append",
        "gateway.cli.ledger_verify",
        "gateway.cli.history",
        "gateway.cli.why",
        "gateway.cli.init",
        "gateway.cli.service",
        "gateway.cli.replay",
        "gateway.cli.set",
        "gateway.cli.get",
        "gateway.cli.shadow",
        "gateway.cli.commands",
        "gateway.cli.device",
        "gateway.cli.wall",
        "gateway.cli.grants",
        "gateway.cli.identify",
        "gateway.cli.decide",
        "gateway.cli.token",
        "gateway.cli.top.command",
    ],
)
def test_importing_loads_nothing_heavy(module: str) -> None:
    assert loaded_by(f"import {module}") & set(HEAVY) == set()


def test_decoding_with_generated_code_needs_neither_construct_nor_cantools() -> None:
    code = (
        "from gateway.profile.load import find_profile, load_profile\n"
        "from gateway.profile.build import CompiledProfile\n"
        "compiled = CompiledProfile(load_profile(find_profile('pms5003')))\n"
        "body = bytes(26)\n"
        "assert compiled.messages[compiled.match(body, None)].decode(body)[0] == 0"
    )
    assert loaded_by(code) & {"construct", "cantools", "asyncio"} == set()


def test_the_runtime_loads_no_driver_library_until_a_port_needs_it() -> None:
    assert loaded_by("import gateway.app") & {"construct", "cantools", "can", "serial"} == set()


def test_a_gateway_with_setpoints_is_wired_before_what_builds_orders_is_loaded() -> None:
    code = (
        "from pathlib import Path\n"
        "from gateway.app import Gateway\n"
        "from gateway.config import site_of_arguments\n"
        "gateway = Gateway(site_of_arguments(['node=cobs-node@/dev/none']), Path('/nonexistent'))\n"
        "assert gateway.asks is not None"
    )
    assert loaded_by(code) & {"construct", "cantools"} == set()
