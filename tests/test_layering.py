"""DESIGN 3, enforced on the syntax trees: an import only points down."""

from __future__ import annotations

import ast
import re
from pathlib import Path

import pytest

ROOT = Path(__file__).parent.parent
SOURCES = sorted(path for folder in ("gateway", "drivers", "hil") for path in (ROOT / folder).rglob("*.py"))

BASE, VALUES, LOGIC, DOCUMENTS, PORTS, STORAGE, RUNTIME, NORTH, APP, EDGE = range(10)
LAYERS = {
    "gateway": BASE,
    "gateway.errors": BASE,
    "gateway.units": BASE,
    "gateway.clock": BASE,
    "gateway.notation": BASE,
    "gateway.spelling": BASE,
    "gateway.environment": BASE,
    "gateway.plain": BASE,
    "gateway.cells": BASE,
    "gateway.frame": VALUES,
    "gateway.route": VALUES,
    "gateway.envelope": VALUES,
    "gateway.taint": VALUES,
    "gateway.framing": LOGIC,
    "gateway.schema": LOGIC,
    "gateway.flow": LOGIC,
    "gateway.lifecycle": LOGIC,
    "gateway.health": LOGIC,
    "gateway.udev": LOGIC,
    "gateway.crdt": LOGIC,
    "gateway.authority": LOGIC,
    "gateway.authority.keyfile": STORAGE,
    "gateway.profile": DOCUMENTS,
    "gateway.config": DOCUMENTS,
    "gateway.port": PORTS,
    "gateway.driver": PORTS,
    "gateway.registry": PORTS,
    "gateway.sysfs": PORTS,
    "gateway.folder": PORTS,
    "gateway.screen": PORTS,
    "drivers": PORTS,
    "gateway.ledger": STORAGE,
    "gateway.ledger.base": LOGIC,
    "gateway.ledger.record": LOGIC,
    "gateway.ledger.reading": LOGIC,
    "gateway.ledger.settings": LOGIC,
    "gateway.ledger.frame": LOGIC,
    "gateway.ledger.segment": LOGIC,
    "gateway.ledger.meta": LOGIC,
    "gateway.ledger.recovery": LOGIC,
    "gateway.ledger.findings": LOGIC,
    "gateway.ledger.scrutiny": LOGIC,
    "gateway.ledger.draft": LOGIC,
    "gateway.ledger.thinning": LOGIC,
    "gateway.ledger.archive": LOGIC,
    "gateway.ledger.fold": LOGIC,
    "gateway.ledger.governor": LOGIC,
    "gateway.shadow": STORAGE,
    "gateway.shadow.reconcile": LOGIC,
    "gateway.shadow.document": LOGIC,
    "gateway.shadow.intent": LOGIC,
    "gateway.shadow.events": LOGIC,
    "gateway.shadow.command": LOGIC,
    "gateway.shadow.restart": LOGIC,
    "gateway.shadow.keys": LOGIC,
    "gateway.runtime": RUNTIME,
    "gateway.sinks": NORTH,
    "gateway.api": NORTH,
    "gateway.api.settings": LOGIC,
    "gateway.app": APP,
    "gateway.cli": EDGE,
    "gateway.testing": EDGE,
    "gateway.__main__": EDGE,
    "hil": EDGE,
}
IMPURE = {"asyncio", "socket", "threading", "serial", "subprocess", "multiprocessing", "selectors", "select"}
CLOCK_CALLS = {
    "time",
    "time_ns",
    "monotonic",
    "monotonic_ns",
    "perf_counter",
    "perf_counter_ns",
    "now",
    "utcnow",
    "today",
}
MAY_OPEN_FILES = {"gateway.profile.load", "gateway.config"}
HARDWARE = {"serial", "can", "spidev", "bleak", "pyudev", "bumble"}


def module_of(path: Path) -> str:
    parts = path.relative_to(ROOT).with_suffix("").parts
    return ".".join(parts[:-1] if parts[-1] == "__init__" else parts)


def package_of(module: str) -> str:
    """Return the longest known prefix: the unit that has a layer."""
    parts = module.split(".")
    for end in range(len(parts), 0, -1):
        if (name := ".".join(parts[:end])) in LAYERS:
            if name == "gateway" and end < len(parts):
                break
            return name
    raise AssertionError(f"{module} has no layer; add it to LAYERS in {__file__} and to DESIGN 3's picture")


def imports_of(path: Path) -> list[tuple[int, str]]:
    found = []
    for node in ast.walk(ast.parse(path.read_text())):
        if isinstance(node, ast.Import):
            found += [(node.lineno, alias.name) for alias in node.names]
        elif isinstance(node, ast.ImportFrom):
            assert node.level == 0, f"{path}:{node.lineno}: relative import; write the whole name"
            name = node.module or ""
            submodules = [f"{name}.{alias.name}" for alias in node.names]
            here = [
                sub
                for sub in submodules
                if (ROOT / Path(*sub.split("."))).with_suffix(".py").exists() or (ROOT / Path(*sub.split("."))).is_dir()
            ]
            found += [(node.lineno, sub) for sub in here] or [(node.lineno, name)]
    return found


def own(name: str) -> bool:
    return name.split(".", maxsplit=1)[0] in {"gateway", "drivers", "hil", "profiles", "tests"}


def is_sideways_allowed(source: str, target: str) -> bool:
    if source.count(".") == 1 and target.count(".") == 1 and LAYERS.get(source) is not None and target in LAYERS:
        return True  # modules directly under gateway/ (cycles are caught by their own test)
    if source.startswith("gateway.ledger") and target.startswith("gateway.ledger"):
        return True  # its pure half, among itself
    if source.startswith("gateway.shadow") and target.startswith("gateway.shadow"):
        return True  # likewise
    return (source, target) in {
        ("gateway.config", "gateway.profile"),
        ("gateway.shadow", "gateway.ledger"),
        ("gateway.sinks", "gateway.api"),
        ("drivers", "gateway.port"),
        ("drivers", "gateway.driver"),
        ("drivers", "gateway.registry"),
        ("drivers", "gateway.sysfs"),
        ("hil", "gateway.testing"),
    }


@pytest.mark.parametrize("path", SOURCES, ids=module_of)
def test_an_import_only_points_down(path: Path) -> None:
    module = module_of(path)
    source = package_of(module)
    wrong = []
    for line, name in imports_of(path):
        if not own(name) or name == "gateway":
            continue
        target = package_of(name)
        if source == target:
            continue
        up = LAYERS[target] > LAYERS[source] or (
            LAYERS[target] == LAYERS[source] and not is_sideways_allowed(source, target)
        )
        if up:
            wrong.append(f"{path.relative_to(ROOT)}:{line}: {module} imports {name}")
    assert wrong == []


@pytest.mark.parametrize("path", SOURCES, ids=module_of)
def test_gateway_knows_no_driver_no_rig_and_no_profile_package(path: Path) -> None:
    module = module_of(path)
    if not module.startswith("gateway"):
        return
    wrong = [name for _, name in imports_of(path) if name.split(".")[0] in {"drivers", "hil", "profiles", "tests"}]
    assert wrong == []


@pytest.mark.parametrize("path", SOURCES, ids=module_of)
def test_pure_layers_do_no_io_and_read_no_clock(path: Path) -> None:
    module = module_of(path)
    if LAYERS[package_of(module)] > DOCUMENTS:
        return
    tree = ast.parse(path.read_text())
    names = {name.split(".")[0] for _, name in imports_of(path)}
    assert names & IMPURE == set()
    if module == "gateway.clock":
        return
    for node in ast.walk(tree):
        assert not isinstance(node, (ast.AsyncFunctionDef, ast.Await)), f"{path}:{node.lineno}: no await below layer 4"
        if not isinstance(node, ast.Call):
            continue
        called = node.func
        if isinstance(called, ast.Attribute) and isinstance(called.value, ast.Name):
            text = f"{called.value.id}.{called.attr}"
            if called.value.id in {"time", "datetime", "date"} and called.attr in CLOCK_CALLS:
                raise AssertionError(f"{path}:{node.lineno}: {text} reads a clock; take a Clock")
        opens = (isinstance(called, ast.Name) and called.id == "open") or (
            isinstance(called, ast.Attribute)
            and called.attr in {"read_text", "read_bytes", "write_text", "write_bytes"}
        )
        if opens and module not in MAY_OPEN_FILES:
            raise AssertionError(f"{path}:{node.lineno}: files are opened by profile/load.py and config.py alone")


@pytest.mark.parametrize("path", SOURCES, ids=module_of)
def test_heavy_libraries_stay_behind_one_door(path: Path) -> None:
    module = module_of(path)
    for line, name in imports_of(path):
        top = name.split(".")[0]
        if top == "construct":
            assert module.startswith("gateway.schema."), f"{path}:{line}: construct belongs to gateway/schema"
        if top == "cantools":
            assert module == "gateway.profile.dbc", f"{path}:{line}: cantools belongs to gateway/profile/dbc.py"
        if top in HARDWARE:
            assert module.startswith(("drivers", "hil")), f"{path}:{line}: {top} belongs to drivers/ or hil/"


@pytest.mark.parametrize("path", SOURCES, ids=module_of)
def test_drivers_do_not_know_each_other(path: Path) -> None:
    module = module_of(path)
    if not module.startswith("drivers."):
        return
    for line, name in imports_of(path):
        if name.startswith("drivers."):
            assert name.split(".")[1].startswith("_"), f"{path}:{line}: {module} imports {name}"


def test_rigs_do_not_know_each_other_and_peers_know_no_rig() -> None:
    kinds = ("hil.rigs.simulated", "hil.rigs.bench")
    wrong = [
        f"{path.relative_to(ROOT)}:{line}: {module} imports {name}"
        for module, path in ((module_of(path), path) for path in SOURCES)
        for line, name in imports_of(path)
        if name.startswith(kinds)
        and module.startswith((*kinds, "hil.peers"))
        and not name.startswith(".".join(module.split(".")[:3]))
    ]
    assert wrong == []


def test_no_import_goes_round_in_a_circle() -> None:
    modules = {module_of(path): path for path in SOURCES}
    edges = {
        module: {name for _, name in imports_of(path) if name in modules and name != module}
        for module, path in modules.items()
    }
    done: set[str] = set()

    def visit(module: str, trail: tuple[str, ...]) -> None:
        assert module not in trail, f"import cycle: {' -> '.join((*trail[trail.index(module) :], module))}"
        if module in done:
            return
        for target in sorted(edges[module]):
            visit(target, (*trail, module))
        done.add(module)

    for module in sorted(edges):
        visit(module, ())


def test_the_readme_s_picture_shows_every_part() -> None:
    picture = (ROOT / "README.md").read_text().partition("## How it is built")[2].split("```")[1]
    parts = {
        path.name for path in (ROOT / "gateway").iterdir() if path.suffix == ".py" or (path / "__init__.py").exists()
    }
    assert {name for name in parts - {"__init__.py"} if name not in picture} == set()


@pytest.mark.parametrize("path", SOURCES, ids=module_of)
def test_patterns_mean_the_same_to_every_python_we_run_on(path: Path) -> None:
    """Python 3.11.2, which Debian 12 has, gets possessive quantifiers over groups wrong."""
    for node in ast.walk(ast.parse(path.read_text())):
        if isinstance(node, ast.Call) and isinstance(node.func, ast.Attribute) and node.func.attr == "compile":
            for text in ast.walk(node):
                if isinstance(text, ast.Constant) and isinstance(text.value, str | bytes):
                    pattern = text.value if isinstance(text.value, str) else text.value.decode("latin-1")
                    assert not re.search(r"(?<!\\)[*+?}]\+|\(\?>", pattern), f"{path}:{text.lineno}: {pattern}"
