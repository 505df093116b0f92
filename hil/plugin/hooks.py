"""The hooks of the plugin."""

from __future__ import annotations

import signal
import threading
from collections.abc import Generator, Sequence
from functools import partial
from pathlib import Path
from tempfile import mkdtemp
from typing import Any, Final

import pytest

from hil.plugin import fixtures, options
from hil.plugin.session import KEY, TARGET, Hil, Running, hil_of
from hil.rigs.standard import PROTOCOL_OF

_RUN: Final = pytest.StashKey[Running]()
_TOLD: Final = pytest.StashKey[Sequence[tuple[str, object]]]()  # of a test's last run, which another one replaces


def pytest_addoption(parser: pytest.Parser) -> None:
    """Declare the options."""
    options.add(parser)


def pytest_configure(config: pytest.Config) -> None:
    """Declare the marker, read the options."""
    config.addinivalue_line(
        "markers", "hil(needs=[...]): needs these resources (uart0) or protocols (uart) of the rig, else it is skipped"
    )
    _spare_from_rewriting(config)
    config.stash[KEY] = Hil(options.read(config), partial(_make_folder, config))
    config.pluginmanager.register(fixtures, "tidegate-hil-fixtures")
    config.pluginmanager.register(_Told(config), "tidegate-hil-told")


def pytest_generate_tests(metafunc: pytest.Metafunc) -> None:
    """Run a test that uses the rig over each target; of several, also one that only says what it needs of it."""
    targets = hil_of(metafunc.config).targets
    if TARGET not in metafunc.fixturenames and len(targets) > 1 and metafunc.definition.get_closest_marker("hil"):
        metafunc.fixturenames.append(TARGET)
    if TARGET in metafunc.fixturenames:
        metafunc.parametrize(TARGET, targets, indirect=True, ids=targets, scope="session")


@pytest.hookimpl(wrapper=True, tryfirst=True)
def pytest_collection_modifyitems(config: pytest.Config, items: list[pytest.Item]) -> Generator[None, object, object]:
    """Keep the order of the files, on each target in turn; what uses no rig stays with the first.

    Pytest itself brings tests with equal parameters of the session together, and puts all others behind them.
    """
    scopes = [found for item in items if TARGET in (found := _scopes_of(item))]
    before = [found[TARGET] for found in scopes]
    for found in scopes:
        found[TARGET] = None
    try:
        return (yield)
    finally:
        for found, scope in zip(scopes, before, strict=True):
            found[TARGET] = scope
        hil = hil_of(config)
        items.sort(key=lambda item: hil.targets.index(_target_of(item, hil)))


def pytest_collection_finish(session: pytest.Session) -> None:
    """Record each test of a run that is about a rig, or that uses one and is to be reported of."""
    hil = hil_of(session.config)
    uses = any(map(_uses_rig, session.items))
    if uses and session.config.getoption("xmlpath", None):
        hil.is_wanted = True
    if uses or hil.is_wanted:
        _end_well_when_told_to()


def pytest_report_header(config: pytest.Config) -> list[str]:
    """Say what the run is on, where it was asked for a rig."""
    hil = hil_of(config)
    if not hil.options.asks_for_a_rig:
        return []
    return [f"hil: rig {hil.rig_name}, targets {', '.join(hil.targets)}, seed {hil.options.seed}"]


@pytest.hookimpl(tryfirst=True)
def pytest_runtest_protocol(item: pytest.Item, nextitem: pytest.Item | None) -> bool | None:
    """Run a test over its rounds, where the run is of rounds."""
    hil = hil_of(item.config)
    hil.updates.clear()
    if hil.options.repeat is None or not _uses_rig(item):
        return None
    from hil.plugin import rounds

    rounds.run(item, nextitem, hil, hil.options.repeat)
    return True


@pytest.hookimpl(tryfirst=True)
def pytest_runtest_setup(item: pytest.Item) -> None:
    """Skip what the rig lacks; begin a run."""
    hil = hil_of(item.config)
    target = _target_of(item, hil)
    missing = hil.missing(target, [*_needs(item), *_implied(item)])
    if missing:
        reason = f"hil: missing {', '.join(missing)}"
        if hil.options.is_strict:
            pytest.fail(f"{reason} (--hil-strict)", pytrace=False)
        pytest.skip(reason)
    hil.begin_now = partial(_begin_late, item, hil, target)
    if hil.is_wanted or _uses_rig(item):
        _begin(item, hil, target)


@pytest.hookimpl(wrapper=True, trylast=True)
def pytest_runtest_teardown(item: pytest.Item) -> Generator[None, object, object]:
    """End the run when the test's fixtures are gone; what leaks into the next test is an error of this one."""
    try:
        return (yield)
    finally:
        left = hil_of(item.config).end()
        if left:
            pytest.fail("hil: left behind by this test: " + "; ".join(left), pytrace=False)


@pytest.hookimpl(wrapper=True)
def pytest_runtest_makereport(item: pytest.Item, call: pytest.CallInfo[None]) -> Generator[None, Any, Any]:
    """Add to a report what happened on the rig."""
    report = yield
    running = item.stash.get(_RUN, None)
    if running is None:
        return report
    running.note(report.outcome, call.duration, "" if call.excinfo is None else call.excinfo.exconly())
    if report.failed or report.when == "teardown":
        from hil.plugin import output

        records = running.rig.trace.records
        if report.failed:
            report.sections.extend(output.tails_of(records, running.rig.resources))
            report.sections.append(("hil", f"seed {running.seed}, trace {running.trace}"))
        if report.when == "teardown":
            del item.stash[_RUN]
            before, told = item.stash.get(_TOLD, ()), output.properties_of(running)
            item.user_properties[:] = [*(each for each in item.user_properties if each not in before), *told]
            item.stash[_TOLD] = told
            report.user_properties = list(item.user_properties)
            report.hil_log = output.log_of(records, running.rig.resources)
            hil = hil_of(item.config)
            report.hil_updates = list(hil.updates)
            if hil.probes is None:
                hil.last_results = output.write_results(running, item.nodeid)
    return report


@pytest.hookimpl(trylast=True)
def pytest_sessionfinish(session: pytest.Session) -> None:
    """Bring everything to rest, also after Ctrl-C."""
    hil_of(session.config).close()


def _make_folder(config: pytest.Config) -> Path:
    """Return a folder for traces that nobody asked for: in pytest's own, which keeps those of the last three runs."""
    factory: pytest.TempPathFactory | None = getattr(config, "_tmp_path_factory", None)
    return Path(mkdtemp(prefix="tidegate-hil-")) if factory is None else factory.mktemp("hil")


def _spare_from_rewriting(config: pytest.Config) -> None:
    """Let our packages be imported as they are.

    Pytest rewrites the assertions of everything that a plugin's distribution holds, and ours are none of a test's:
    that took 4 s of every run where no bytecode is written, and the first run elsewhere.
    """
    marked = getattr(config.pluginmanager.rewrite_hook, "_must_rewrite", None)
    if isinstance(marked, set):
        marked -= {"gateway", "drivers", "hil"}


class _Told:
    """Tells what comes with reports where they arrive: a worker of pytest-xdist has no JUnit file and no terminal."""

    def __init__(self, config: pytest.Config) -> None:
        self._config = config

    @pytest.hookimpl(tryfirst=True)
    def pytest_runtest_logreport(self, report: pytest.TestReport) -> None:
        """Put a bus log into the JUnit file, and what was changed in golden files on the terminal."""
        terminal: Any = self._config.pluginmanager.getplugin("terminalreporter")
        for text in getattr(report, "hil_updates", ()) if terminal is not None else ():
            terminal.write_line(f"\n{text}")
        log = getattr(report, "hil_log", None)
        if log is not None:
            from hil.plugin import output

            output.add_to_junit(self._config, report, log)


def _end_well_when_told_to() -> None:
    """Let SIGTERM and SIGHUP end the run as Ctrl-C does, so that power goes off and reports are written."""
    for number in (signal.SIGTERM, signal.SIGHUP):
        if signal.getsignal(number) is signal.SIG_DFL and threading.current_thread() is threading.main_thread():
            signal.signal(number, _interrupt)


def _interrupt(_number: int, _frame: object) -> None:
    raise KeyboardInterrupt


def _begin(item: pytest.Item, hil: Hil, target: str) -> Running:
    from gateway.errors import GatewayError

    try:
        item.stash[_RUN] = running = hil.begin(item.nodeid, target)
    except (GatewayError, OSError) as error:  # the latter of a disk that keeps no more traces
        raise pytest.fail.Exception(f"hil: {error}", pytrace=False) from None
    return running


def _begin_late(item: pytest.Item, hil: Hil, target: str) -> Running:
    """Begin for a test that asks in its middle. Others may, too: from now on every test finds a rig."""
    hil.is_wanted = True
    return _begin(item, hil, target)


def _uses_rig(item: pytest.Item) -> bool:
    return TARGET in getattr(item, "fixturenames", ())


def _target_of(item: pytest.Item, hil: Hil) -> str:
    callspec = getattr(item, "callspec", None)
    return hil.targets[0] if callspec is None else callspec.params.get(TARGET, hil.targets[0])


def _scopes_of(item: pytest.Item) -> dict[str, Any]:
    """Return the scope of each parameter of a test, which says how far pytest brings equal ones together."""
    found = getattr(getattr(item, "callspec", None), "_arg2scope", None)
    return found if isinstance(found, dict) else {}


def _needs(item: pytest.Item) -> Sequence[str]:
    """Return what a test's markers need; a marker that is none fails the test."""
    needs: list[str] = []
    for marker in item.iter_markers("hil"):
        if marker.args or set(marker.kwargs) - {"needs"}:
            pytest.fail("hil: write @pytest.mark.hil(needs=['uart0', 'can'])", pytrace=False)
        given = marker.kwargs.get("needs", ())
        needs += [given] if isinstance(given, str) else given
    return needs


def _implied(item: pytest.Item) -> list[str]:
    """Return the protocols of the fixtures that a test asks for, as far as they are the plugin's."""
    info = getattr(item, "_fixtureinfo", None)
    found = {} if info is None else info.name2fixturedefs
    return [
        protocol
        for name, protocol in PROTOCOL_OF.items()
        if name in found and found[name][-1].func.__module__ == fixtures.__name__
    ]
