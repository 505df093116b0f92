"""Layer 9: `tidegate hil reserve`: targets shared by many, each held by one at a time."""

from __future__ import annotations

import json
import time
from pathlib import Path
from typing import TYPE_CHECKING, Any, Final

import click

from gateway.environment import variable
from gateway.errors import UsageError
from gateway.notation import duration_ns
from gateway.plain import age_text, printable

if TYPE_CHECKING:
    from hil.lease.pool import Pool, Seen, Wait

EXIT_NO: Final = 1
SAY_AGAIN_S: Final = 30.0


def seconds(_context: click.Context, _parameter: click.Parameter, given: str) -> float:
    """Return the seconds of "250ms", "5s", "10m", or of a bare number of them: an option's `callback`."""
    try:
        return float(given) if given.replace(".", "", 1).isdecimal() else duration_ns(given) / 1e9
    except (ValueError, OverflowError) as error:
        raise click.BadParameter(str(error)) from error


class _WithCommand(click.Command):
    """Keeps what stands behind `--` apart: it is the command, whatever its words look like."""

    def parse_args(self, ctx: click.Context, args: list[str]) -> list[str]:
        at = args.index("--") if "--" in args else len(args)
        ctx.meta["hil.reserve.command"] = args[at + 1 :]
        return super().parse_args(ctx, args[:at])

    def collect_usage_pieces(self, ctx: click.Context) -> list[str]:
        return [*super().collect_usage_pieces(ctx), "--", "COMMAND..."]


pool_option = click.option(
    "--pool", "folder", metavar="DIR", type=click.Path(path_type=Path), help="Folder of the pool [$TIDEGATE_POOL]."
)
json_option = click.option("--json", "as_json", is_flag=True, help="Print one JSON document.")


@click.group(name="reserve")
@pool_option
@click.pass_context
def command(ctx: click.Context, folder: Path | None) -> None:
    """Share boards: put them in a pool, take one that fits, run a command while it is yours.

    A pool is a folder on the machine that the boards hang on. TEMPLATE is KEY=GLOB: `name=` is a target's name, all
    other keys are its facts; of several templates all must match.

    For example `tidegate hil reserve put f4-1 board=nucleo-f4 --pool /srv/pool` adds a board, and
    `tidegate hil reserve take 'board=nucleo-*' --wait 10m --pool /srv/pool -- pytest` tests whichever is free.
    """
    ctx.meta["hil.reserve.pool"] = folder


@command.command(name="put", short_help="Add a target, or change its facts.")
@click.argument("name")
@click.argument("facts", nargs=-1, metavar="[KEY=VALUE]...")
@pool_option
def put_command(name: str, facts: tuple[str, ...], folder: Path | None) -> None:
    """Add a target to the pool, or replace the facts of the one that has this name; who holds it keeps it.

    For example `tidegate hil reserve put f4-1 board=nucleo-f4 rig=bench.toml --pool /srv/pool`.
    """
    is_new = _pool(folder).put(name, facts)
    click.echo(f"{name} {'added' if is_new else 'changed'}", err=True)


@command.command(name="drop", short_help="Take a target out of the pool.")
@click.argument("name")
@pool_option
def drop_command(name: str, folder: Path | None) -> None:
    """Take a target out of the pool, for repair or for good. One that is held must be kicked first (exit 1)."""
    from hil.lease.errors import LeaseBusyError

    try:
        _pool(folder).drop(name)
    except LeaseBusyError as error:
        _say(error)
        raise SystemExit(EXIT_NO) from error


@command.command(name="take", cls=_WithCommand, short_help="Run a command while a target is yours.")
@click.argument("template", nargs=-1, required=True, metavar="TEMPLATE...")
@click.option(
    "--ttl",
    metavar="DURATION",
    callback=seconds,
    default="60s",
    show_default=True,
    help="Without a sign of life it is lost after so long.",
)
@click.option(
    "--wait", metavar="DURATION", callback=seconds, default="0s", show_default=True, help="Queue for at most so long."
)
@pool_option
@click.pass_context
def take_command(ctx: click.Context, template: tuple[str, ...], ttl: float, wait: float, folder: Path | None) -> None:
    """Take a free target that fits and run COMMAND while it is yours; then give it back.

    COMMAND gets TIDEGATE_TARGET, TIDEGATE_TOKEN (greater than that of any holder before) and TIDEGATE_POOL. It ends
    when the target is lost: kicked, or no sign of life for --ttl, or this process is killed; and all that it has
    started ends with it. Who waits is served in order.

    Exit codes: COMMAND's (128 + N for signal N; 126 and 127 where it cannot be run); 1 nothing came free in time;
    2 no such target in the pool, or wrong use.
    """
    words: list[str] = ctx.meta["hil.reserve.command"]
    if not words:
        raise click.UsageError("nothing to run; write -- and a command, for example -- pytest tests/hil", ctx)
    from hil.lease.errors import LeaseBusyError
    from hil.lease.running import run

    pool, waiting = _pool(folder), _Waiting()
    try:
        lease = pool.acquire(template, ttl_s=ttl, wait_s=wait, on_wait=waiting.tell)
    except LeaseBusyError as error:
        _say(error)
        ctx.exit(EXIT_NO)
    if waiting.has_told:
        _say(f"took {lease.target} (lease {lease.token})")
    code, lost = run(lease, words)
    if lost is not None:
        _say(f"{lost}; {printable(words[0])} was ended")
        code = code or EXIT_NO
    ctx.exit(code)


@command.command(name="read", short_help="Show targets and who holds them.")
@click.argument("template", nargs=-1, metavar="[TEMPLATE]...")
@json_option
@pool_option
def read_command(template: tuple[str, ...], as_json: bool, folder: Path | None) -> None:
    """Show the targets that match, all without TEMPLATE, and who holds them."""
    seen = _pool(folder).read(template)
    if as_json:
        click.echo(json.dumps({"targets": [_document(one) for one in seen]}))
        return
    width = max((len(one.target) for one in seen), default=0)
    for one in seen:
        facts = " ".join(f"{key}={value}" for key, value in sorted(one.facts.items()))
        click.echo(f"{one.target:<{width}}  {_holder(one)}  {facts}".rstrip())


@command.command(name="kick", short_help="Take a target away from its holder.")
@click.argument("name")
@pool_option
def kick_command(name: str, folder: Path | None) -> None:
    """Take a target away from its holder: its writes fail from now on, and its command is ended within a second."""
    who = _pool(folder).kick(name)
    click.echo(f"{name} was held by nobody" if who is None else f"{name} taken away from {who}", err=True)


class _Waiting:
    """Says on stderr who is waited for: when it changes, and now and then."""

    def __init__(self) -> None:
        self.has_told = False
        self._told = ""
        self._told_s = 0.0

    def tell(self, wait: Wait) -> None:
        held = ", ".join(f"{name} held by {entry.who} since {entry.who.since}" for name, entry in wait.holders[:4])
        more = f" and {len(wait.holders) - 4} more" if len(wait.holders) > 4 else ""
        text = f"waiting as number {wait.ahead + 1}: {held}{more}" if held else f"waiting as number {wait.ahead + 1}"
        now_s = time.monotonic()
        if text != self._told or now_s - self._told_s >= SAY_AGAIN_S:
            _say(text)
            self.has_told, self._told, self._told_s = True, text, now_s


def _pool(folder: Path | None) -> Pool:
    given = folder or click.get_current_context().meta.get("hil.reserve.pool") or variable("TIDEGATE_POOL")
    if given is None:
        raise UsageError("which pool? Give --pool DIR, or set TIDEGATE_POOL")
    from hil.lease.pool import Pool

    return Pool(given)


def _document(one: Seen) -> dict[str, Any]:
    lease = None
    if one.lease is not None:
        from hil.lease.folder import boottime_ns

        lease = {
            "token": one.lease.token,
            "user": one.lease.who.user,
            "pid": one.lease.who.pid,
            "since": one.lease.who.since,
            "ttl_s": one.lease.ttl_ns / 1e9,
            "beat_age_s": max(0, boottime_ns() - one.lease.beat_ns) / 1e9,
        }
    return {"target": one.target, "facts": one.facts, "lease": lease}


def _holder(one: Seen) -> str:
    if one.lease is None:
        return "free"
    from hil.lease.folder import boottime_ns

    held_s = (boottime_ns() - one.lease.since_ns) / 1e9
    return f"held by {one.lease.who} for {age_text(held_s)}, lease {one.lease.token}"


def _say(what: object) -> None:
    click.echo(f"tidegate: {what}", err=True)
