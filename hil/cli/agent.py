"""Layer 9: `tidegate hil agent`: a board's ports for runners on other machines."""

from __future__ import annotations

import asyncio
import contextlib
import logging
import signal
import sys
from collections.abc import Coroutine
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING

import click

from gateway.environment import variable
from gateway.errors import DriverError, UsageError
from gateway.spelling import did_you_mean

if TYPE_CHECKING:
    from hil.agent.server import Agent
    from hil.agent.wire import Wire
    from hil.rigs.model import TargetSpec

a_file = click.Path(path_type=Path)


@click.command(name="agent", short_help="Give a board's ports to tests on other machines.")
@click.option("--listen", metavar="HOST:PORT", help="Serve here, for example 0.0.0.0:4716.")
@click.option("--stdio", is_flag=True, help="Serve one runner on standard input and output: what ssh:// starts.")
@click.option("--rig", "rig_file", type=a_file, metavar="FILE", help="Rig file that names the ports [$TIDEGATE_RIG].")
@click.option("--target", metavar="T", help="Whose ports [the rig's only target].")
@click.option("--cert", "certificate", type=a_file, metavar="FILE", help="The agent's certificate (PEM).")
@click.option("--key", type=a_file, metavar="FILE", help="Its key (PEM).")
@click.option("--client-ca", type=a_file, metavar="FILE", help="Let in who has a certificate of this authority.")
@click.option("--token-file", type=a_file, metavar="FILE", help="Let in who knows the token in this file.")
@click.option("--pool", type=a_file, metavar="DIR", help="Let in who holds a lease of the target in this pool.")
def command(
    *,
    listen: str | None,
    stdio: bool,
    rig_file: Path | None,
    target: str | None,
    certificate: Path | None,
    key: Path | None,
    client_ca: Path | None,
    token_file: Path | None,
    pool: Path | None,
) -> None:
    """Give the ports of a board that hangs on this machine to tests that run on another.

    Beyond this machine only over TLS, and only to runners that prove who they are. A port belongs to one runner at a
    time; what comes while that is away for a moment is kept for it. With --pool each write needs the runner's lease,
    and a lease that is lost ends its streams at once.

    For example `tidegate hil agent --listen 0.0.0.0:4716 --rig bench.toml --cert pi.pem --key pi.key --client-ca
    ca.pem`. Or let ssh start it: runners say ssh://pi/home/pi/bench.toml in place of HOST:PORT.
    """
    from hil.agent.server import Agent
    from hil.agent.tls import secret_of
    from hil.lease import Pool, current

    if (listen is None) is not stdio:
        raise click.UsageError("either --listen HOST:PORT or --stdio")
    logging.basicConfig(stream=sys.stderr, level=logging.INFO, format="%(asctime)s %(message)s")
    if token_file is not None:
        secret_of(token_file)
    name, wires = _wires(rig_file, target)
    agent = Agent(
        name,
        wires,
        secret=partial(secret_of, token_file) if token_file is not None else None,
        pool=Pool(pool) if pool is not None else None,
        lease=current() if pool is None else None,
    )
    if stdio:
        _run(agent.serve_stdio())
        return
    assert listen is not None
    _run(_listen(agent, listen, certificate, key, client_ca, [wire.name for wire in wires]))


def _listen(  # noqa: PLR0917 - as they come
    agent: Agent, listen: str, certificate: Path | None, key: Path | None, client_ca: Path | None, resources: list[str]
) -> Coroutine[None, None, None]:
    from hil.agent.dialling import address_of
    from hil.agent.tls import Papers, check_listening

    host, port = address_of(listen)
    if (certificate is None) is not (key is None):
        raise UsageError("a certificate needs its key: give both --cert and --key")
    if client_ca is not None and certificate is None:
        raise UsageError("--client-ca asks runners for certificates, which only TLS can: give --cert and --key too")
    check_listening(host, has_tls=certificate is not None, knows_runners=client_ca is not None or agent.has_token)
    papers = None if certificate is None or key is None else Papers(certificate, key, client_ca)

    def ready(at_host: str, at_port: int) -> None:
        how = "TLS" if papers is not None else "plain, this machine only"
        click.echo(f"serving {agent.target} ({', '.join(resources)}) on {at_host}:{at_port}, {how}", err=True)

    return agent.listen(host, port, papers, ready)


def _run(serving: Coroutine[None, None, None]) -> None:
    async def until_told() -> None:
        task = asyncio.current_task()
        assert task is not None
        for number in (signal.SIGTERM, signal.SIGINT, signal.SIGHUP):
            asyncio.get_running_loop().add_signal_handler(number, task.cancel)
        with contextlib.suppress(asyncio.CancelledError):
            await serving

    asyncio.run(until_told())


def _wires(rig_file: Path | None, target: str | None) -> tuple[str, list[Wire]]:
    from gateway.clock import SystemClock
    from gateway.registry import driver_for
    from hil.agent.wire import Wire

    name, spec = _target(rig_file, target)
    wires = []
    for resource, told in spec.resource.items():
        if told.protocol is None or told.protocol == "power" or told.port is None:
            continue  # simulated ones and switches are the runner's own
        link = told.link()
        try:
            driver = driver_for(told.port, link.bus)
        except DriverError as error:
            raise UsageError(f"{resource}: {error}") from error
        wires.append(Wire(resource, told.protocol, partial(driver.make, told.port, link, SystemClock())))
    if not wires:
        raise UsageError(f"{name} has no resource with a port; name one in its rig file: port = ...")
    return name, wires


def _target(rig_file: Path | None, target: str | None) -> tuple[str, TargetSpec]:
    from hil.rigs.file import load

    path = rig_file or variable("TIDEGATE_RIG")
    if path is None:
        raise UsageError("which ports? Give --rig FILE, or set TIDEGATE_RIG")
    targets = load(path).target
    if target is None:
        if len(targets) != 1:
            raise UsageError(f"{path} has the targets {', '.join(targets) or 'none'}; say which: --target T")
        target = next(iter(targets))
    if target not in targets:
        raise UsageError(f"{path} has no target {target!r}{did_you_mean(target, targets)}")
    return target, targets[target]
