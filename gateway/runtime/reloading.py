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
from gateway.errors import ConfigError, GatewayError, Problem, ProfileError, UsageError
from gateway.lifecycle import State
from gateway.runtime.device import Device
from gateway.runtime.difference import Change, Configuration, changes, restarting, words

WITHIN_S: Final = 30.0
LOOK_S: Final = 0.1
_NS: Final = 1_000_000_000

log = logging.getLogger(__name__)


class _Asked(NamedTuple):
    by: str
    within_s: float
    is_dry_run: bool
    done: asyncio.Future[dict[str, Any]]


class Reloader:
    """One per gateway; does one reload after the other."""

    def __init__(
        self,
        clock: Clock,
        current: Configuration,
        *,
        read: Callable[[], Configuration],
        apply: Callable[[Configuration], Awaitable[Sequence[str]]],
        devices: Callable[[], Sequence[Device]],
        note: Callable[[dict[str, Any]], Awaitable[None]],
    ) -> None:
        """Take how a configuration is read and put into effect.

        `apply` returns what waits for a restart all the same; `note` puts the outcome on record.
        """
        self.on_begun: Callable[[], None] = _nothing  # called when a reload that is no dry run begins
        self.on_done: Callable[[], None] = _nothing  # and when it is over
        self.last: dict[str, Any] | None = None  # the newest answer that was no dry run
        self._clock = clock
        self._current = current
        self._read = read
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
                self.last = answer
                self.on_done()
            if not asked.done.done():
                asked.done.set_result(answer)

    async def reload(self, by: str, *, within_s: float = WITHIN_S, is_dry_run: bool = False) -> dict[str, Any]:
        """Return the object of `reload --json`. `within_s` 0: do not look whether devices come back.

        Raises: UsageError where one is under way.
        """
        if self._is_busy:
            raise UsageError("a reload is under way; ask again when it is over")
        self._is_busy = True
        asked = _Asked(by, within_s, is_dry_run, asyncio.get_running_loop().create_future())
        self._asked.put_nowait(asked)
        return await asyncio.shield(asked.done)

    def hang_up(self) -> None:
        """Reload as SIGHUP asks for it; the outcome is logged."""
        if self._is_busy:
            log.warning("SIGHUP: a reload is under way; send it again when it is over")
            return
        self._is_busy = True
        done = asyncio.get_running_loop().create_future()
        self._asked.put_nowait(_Asked("SIGHUP", WITHIN_S, is_dry_run=False, done=done))

    async def _done(self, asked: _Asked) -> dict[str, Any]:
        before = self._current
        try:
            after = await asyncio.to_thread(self._read)
        except GatewayError as error:
            answer = _refused(error)
            if not asked.is_dry_run:
                log.warning("reload refused, nothing was changed: %s", error)
                await self._note({"what": "reload", "by": asked.by, "outcome": "refused", "changes": []})
            return answer
        found = changes(before, after)
        restarts = restarting(before, after)
        shown = {"changes": [each.as_json() for each in found], "restarts": restarts}
        if asked.is_dry_run:
            return _answer("dry_run", found=found) | shown
        if not found:
            log.info("reload: nothing has changed")
            return _answer("unchanged") | shown
        log.info("reload: %s", words(found))
        answer = await self._changed(before, after, found, restarts, asked.within_s) | shown
        body = {"what": "reload", "by": asked.by, "outcome": answer["outcome"], "changes": shown["changes"]}
        await self._note(body | {"missing": [each["device"] for each in answer["missing"]]})
        log.log(logging.INFO if answer["outcome"] == "applied" else logging.WARNING, "reload: %s", answer["detail"])
        return answer

    async def _changed(
        self, before: Configuration, after: Configuration, found: Sequence[Change], restarts: Sequence[str],
        within_s: float,
    ) -> dict[str, Any]:  # fmt: skip
        """Put a configuration into effect, and the previous one again where devices do not come back."""
        now_ns = self._clock.monotonic_ns()
        healthy = {device.name: _speaks(device) for device in self._devices() if _is_healthy(device, now_ns)}
        touched = {name: healthy[name] for name in restarts if name in healthy}
        begun_ns = self._clock.monotonic_ns()
        try:
            late = await self._apply(after)
        except Exception as error:
            log.exception("fault: reload; the previous configuration takes its place again")
            await self._apply(before)
            return _answer("returned", reason="fault", detail=f"{type(error).__name__}: {error}")
        self._current = after
        missing = await self._missing(touched, begun_ns, within_s) if within_s else []
        waited_s = (self._clock.monotonic_ns() - begun_ns) / _NS
        if not missing:
            return _answer("applied", found=found, late=late, waited_s=waited_s)
        await self._apply(before)
        self._current = before
        names = ", ".join(f"{each['device']} ({each['lifecycle']}: {each['reason']})" for each in missing)
        detail = f"not back within {within_s:g} s: {names}; the previous configuration is in effect again, until the "
        detail += "next reload or start reads the files, which were left as they are"
        return _answer("returned", reason="not_back", detail=detail, missing=missing, waited_s=waited_s)

    async def _missing(self, touched: dict[str, bool], begun_ns: int, within_s: float) -> list[dict[str, Any]]:
        """Return the devices that are not back in time; `touched` tells whether they spoke before."""
        end_ns = begun_ns + int(within_s * _NS)
        while True:
            now_ns = self._clock.monotonic_ns()
            there = {device.name: device for device in self._devices()}
            away = [name for name, spoke in touched.items() if not _is_back(there[name], begun_ns, has_to_speak=spoke)]
            if not away:
                return []
            if now_ns >= end_ns:
                late = [there[name] for name in away if not _is_healthy(there[name], now_ns)]
                return [_missed(device) for device in late]
            await asyncio.sleep(LOOK_S)


def _is_healthy(device: Device, now_ns: int) -> bool:
    return device.lifecycle.state is State.CONNECTED and not device.is_stale(now_ns)


def _speaks(device: Device) -> bool:
    return any(message.row is not None and not message.is_restored for message in device.all_messages())


def _is_back(device: Device, since_ns: int, *, has_to_speak: bool) -> bool:
    is_heard = any(message.received_ns > since_ns for message in device.all_messages() if not message.is_restored)
    return device.lifecycle.state is State.CONNECTED and (is_heard or not has_to_speak)


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
