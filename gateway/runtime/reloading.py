"""Layer 6: takes up a changed configuration while the gateway runs, and goes back where it does not work.

Everything is read and checked before anything is touched. Then only what changed is begun anew, and the devices that
were healthy and are touched by it must come back within a while; where one does not, the previous configuration, as it
was read, takes its place again.
"""

from __future__ import annotations

import asyncio
import logging
from collections.abc import Awaitable, Callable, Sequence
from typing import Any, Final, NamedTuple

from gateway.clock import Clock
from gateway.errors import ConfigError, GatewayError, Problem, ProfileError, UnderWayError
from gateway.lifecycle import State
from gateway.runtime.device import Device
from gateway.runtime.difference import Change, Configuration, changes, restarting, words

WITHIN_S: Final = 30.0
LOOK_S: Final = 0.1
_NS: Final = 1_000_000_000
_RELOAD: Final = {"what": "reload"}

log = logging.getLogger(__name__)


Read = Callable[[Configuration], Configuration]


class _Asked(NamedTuple):
    by: str
    within_s: float
    is_dry_run: bool
    done: asyncio.Future[dict[str, Any]]
    read: Read
    about: dict[str, Any]  # the beginning of the record
    awaited: frozenset[str] = frozenset()  # devices that must be there, also where they were not before


class _Voice(NamedTuple):
    """How a device spoke before."""

    spoke: bool
    is_frequent: bool  # so often that silence while it is waited for says something


class Reloader:
    """One per gateway; does one reload after the other."""

    def __init__(
        self,
        clock: Clock,
        current: Configuration,
        *,
        read: Read,
        apply: Callable[[Configuration], Awaitable[Sequence[str]]],
        devices: Callable[[], Sequence[Device]],
        note: Callable[[dict[str, Any]], Awaitable[None]],
        settle: Callable[[Configuration], None] = lambda _configuration: None,
    ) -> None:
        """Take how a configuration is read, given the one in effect, and put into effect.

        `apply` returns what waits for a restart all the same; `note` puts the outcome on record; `settle` is called,
        not on the loop, with a configuration that has come to stay.
        """
        self.on_begun: Callable[[], None] = _nothing  # called when a reload that is no dry run begins
        self.on_done: Callable[[], None] = _nothing  # and when it is over
        self.last: dict[str, Any] | None = None  # the newest answer that was no dry run
        self._clock = clock
        self._started_ns = clock.monotonic_ns()
        self.current = current  # what is in effect
        self._read = read
        self._settle = settle
        self._apply = apply
        self._devices = devices
        self._note = note
        self._asked: asyncio.Queue[_Asked] = asyncio.Queue()
        self._is_busy = False

    async def run(self) -> None:
        """Do what is asked for, until cancelled."""
        while True:
            asked = await self._asked.get()
            if not asked.is_dry_run:
                self.on_begun()
            try:
                answer = await self._done(asked)
            except Exception as error:  # supervisor: whatever failed here must not stop the gateway
                log.exception("fault: reload")
                answer = _answer("failed", reason="fault", detail=f"{type(error).__name__}: {error}")
            finally:
                self._is_busy = False
            if not asked.is_dry_run:
                if asked.read is self._read:
                    self.last = answer
                self.on_done()
            if not asked.done.done():
                asked.done.set_result(answer)

    async def reload(self, by: str, *, within_s: float = WITHIN_S, is_dry_run: bool = False) -> dict[str, Any]:
        """Return the object of `reload --json`. `within_s` 0: do not look whether devices come back.

        Raises: UnderWayError where one is under way.
        """
        return await asyncio.shield(self._ask(by, within_s, self._read, _RELOAD, is_dry_run=is_dry_run))

    def change(
        self, by: str, read: Read, about: dict[str, Any], *, awaited: str, within_s: float, is_dry_run: bool = False
    ) -> asyncio.Future[dict[str, Any]]:
        """Begin to put what `read` returns into effect, as a reload does; return where its answer will be.

        `awaited` is a device that must be there within the time, also where it was not before; `about` begins what is
        put on record. Raises: UnderWayError where one is under way.
        """
        return self._ask(by, within_s, read, about, is_dry_run=is_dry_run, awaited=frozenset({awaited}))

    def _ask(
        self, by: str, within_s: float, read: Read, about: dict[str, Any], *, is_dry_run: bool,
        awaited: frozenset[str] = frozenset(),
    ) -> asyncio.Future[dict[str, Any]]:  # fmt: skip
        if self._is_busy:
            raise UnderWayError("a reload is under way; ask again when it is over")
        self._is_busy = True
        done: asyncio.Future[dict[str, Any]] = asyncio.get_running_loop().create_future()
        self._asked.put_nowait(_Asked(by, within_s, is_dry_run, done, read, about, awaited))
        return done

    def hang_up(self) -> None:
        """Reload as SIGHUP asks for it; the outcome is logged."""
        if self._is_busy:
            log.warning("SIGHUP: a reload is under way; send it again when it is over")
            return
        self._ask("SIGHUP", WITHIN_S, self._read, _RELOAD, is_dry_run=False)

    async def _done(self, asked: _Asked) -> dict[str, Any]:
        before = self.current
        try:
            after = await asyncio.to_thread(asked.read, before)
        except GatewayError as error:
            answer = _refused(error)
            if not asked.is_dry_run:
                log.warning("%s refused, nothing was changed: %s", asked.about["what"], error)
                await self._note(asked.about | {"by": asked.by, "outcome": "refused", "changes": []})
            return answer
        found = changes(before, after)
        restarts = restarting(before, after)
        shown = {"changes": [each.as_json() for each in found], "restarts": restarts}
        if asked.is_dry_run:
            return _answer("dry_run", found=found) | shown
        what = asked.about["what"]
        if not found:
            if after.chosen != before.chosen:
                if (unkept := await self._unkept(after)) is not None:
                    return unkept | shown
                self.current = before._replace(site=after.site, chosen=after.chosen)
            log.info("%s: nothing has changed", what)
            return _answer("unchanged") | shown
        log.info("%s: %s", what, words(found))
        answer = await self._changed(before, after, found, restarts, asked) | shown
        body = asked.about | {"by": asked.by, "outcome": answer["outcome"], "changes": shown["changes"]}
        await self._note(body | {"missing": [each["device"] for each in answer["missing"]]})
        log.log(logging.INFO if answer["outcome"] == "applied" else logging.WARNING, "%s: %s", what, answer["detail"])
        return answer

    async def _changed(
        self, before: Configuration, after: Configuration, found: Sequence[Change], restarts: Sequence[str],
        asked: _Asked,
    ) -> dict[str, Any]:  # fmt: skip
        """Put a configuration into effect, and the previous one again where devices do not come back."""
        within_s = asked.within_s
        now_ns = self._clock.monotonic_ns()
        most_s = within_s / 3 if within_s else 0.0
        healthy = {
            device.name: _Voice(_speaks(device), (now_ns - self._started_ns) / _NS < device.frames().delivered * most_s)
            for device in self._devices()
            if _is_healthy(device, now_ns) or (device.name in asked.awaited and device.is_wanted)
        }
        touched = {name: healthy[name] for name in restarts if name in healthy}
        begun_ns = self._clock.monotonic_ns()
        try:
            late = await self._apply(after)
        except Exception as error:
            log.exception("fault: reload; the previous configuration takes its place again")
            await self._apply(before)
            return _answer("returned", reason="fault", detail=f"{type(error).__name__}: {error}")
        self.current = after
        missing = await self._missing(touched, begun_ns, within_s) if within_s else []
        waited_s = (self._clock.monotonic_ns() - begun_ns) / _NS
        if not missing:
            unkept = await self._unkept(after)
            if unkept is None:
                return _answer("applied", found=found, late=late, waited_s=waited_s)
            await self._apply(before)
            self.current = before
            return unkept
        await self._apply(before)
        self.current = before
        names = ", ".join(f"{each['device']} ({each['lifecycle']}: {each['reason']})" for each in missing)
        detail = f"not back within {within_s:g} s: {names}; the previous configuration is in effect again, until the "
        detail += "next reload or start reads the files, which were left as they are"
        return _answer("returned", reason="not_back", detail=detail, missing=missing, waited_s=waited_s)

    async def _unkept(self, after: Configuration) -> dict[str, Any] | None:
        """Keep what was chosen; return the answer where that cannot be done."""
        try:
            await asyncio.to_thread(self._settle, after)
        except OSError as error:
            detail = f"what was chosen cannot be kept ({error}); the previous configuration is in effect again"
            return _answer("failed", reason="not_durable", detail=detail)
        return None

    async def _missing(self, touched: dict[str, _Voice], begun_ns: int, within_s: float) -> list[dict[str, Any]]:
        """Return the devices that are not back in time. One that spoke is waited for until it speaks again."""
        end_ns = begun_ns + int(within_s * _NS)
        while True:
            now_ns = self._clock.monotonic_ns()
            there = {device.name: device for device in self._devices()}
            away = [name for name, voice in touched.items() if not _is_back(there[name], begun_ns, voice)]
            if not away:
                return []
            if now_ns >= end_ns:
                late = [name for name in away if touched[name].is_frequent or not _is_healthy(there[name], now_ns)]
                return [_missed(there[name]) for name in late]
            await asyncio.sleep(LOOK_S)


def _is_healthy(device: Device, now_ns: int) -> bool:
    return device.lifecycle.state is State.CONNECTED and not device.is_stale(now_ns)


def _speaks(device: Device) -> bool:
    return any(message.row is not None and not message.is_restored for message in device.all_messages())


def _is_back(device: Device, since_ns: int, voice: _Voice) -> bool:
    is_heard = any(message.received_ns > since_ns for message in device.all_messages() if not message.is_restored)
    return device.lifecycle.state is State.CONNECTED and (is_heard or not voice.spoke)


def _missed(device: Device) -> dict[str, Any]:
    life = device.lifecycle
    reason = life.reason or device.last_error or ""
    if life.state is State.CONNECTED:
        reason = "its port is open, and nothing that its profile understands has come"
    return {"device": device.name, "lifecycle": life.state, "reason": reason}


def _refused(error: GatewayError) -> dict[str, Any]:
    given = error.problems if isinstance(error, ConfigError | ProfileError) else (Problem("", 0, "", str(error)),)
    problems = [{"file": each.file, "line": each.line, "key": each.key, "message": each.message} for each in given]
    detail = f"nothing was changed: {error}"
    return _answer("refused", reason="configuration", detail=detail) | {"problems": problems}


def _answer(
    outcome: str,
    *,
    found: Sequence[Change] = (),
    late: Sequence[str] = (),
    reason: str | None = None,
    detail: str | None = None,
    missing: Sequence[dict[str, Any]] = (),
    waited_s: float = 0.0,
) -> dict[str, Any]:
    waits = [f"{each.table}.{key}" for each in found if each.needs_restart for key in each.keys or ("*",)] + list(late)
    told = detail or (f"{outcome}: {words(found)}" if found else outcome)
    if waits and detail is None:
        told += f"; waits for a restart of the gateway: {', '.join(waits)}"
    return {
        "outcome": outcome, "reason": reason, "detail": told, "changes": [], "restarts": [], "needs_restart": waits,
        "missing": list(missing), "waited_s": waited_s, "problems": [],
    }  # fmt: skip


def _nothing() -> None:
    """Nobody wants to know."""
