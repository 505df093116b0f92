"""Layer 7: the ledger over HTTP: its end, its entries, its proof, the history of a route and the why of a value."""

from __future__ import annotations

from typing import Any, Final

from gateway.api import paging
from gateway.api.api import Api
from gateway.api.http import documents as doc
from gateway.api.http.app import Operation
from gateway.api.http.call import Answer, Call
from gateway.api.http.parameters import AFTER, FLAG, MAX_SEQ, PAGE, RECORD, ROUTE, TIME, Parameter
from gateway.api.http.problems import Problem
from gateway.api.ledger import BusyError, LedgerQueries
from gateway.api.ledger_child import Job
from gateway.api.ledger_times import time_ns
from gateway.route import parse_route

WAIT_S: Final = 3.0
CSV: Final = "text/csv"
MOST_ROWS: Final = 1_000_000  # of CSV


class LedgerOperations:
    """The handlers that read the ledger."""

    def __init__(self, api: Api) -> None:
        """Take what is behind the door."""
        self._api = api

    def all(self) -> list[Operation]:
        """Return everything that can be asked for here."""
        get = "GET"
        page = PAGE | {"after": AFTER}
        kind = Parameter("json, or csv [as Accept says]", {"type": "string", "enum": ["json", "csv"]})
        span = {"route": ROUTE, "since": TIME, "until": TIME, "format": kind}
        return [
            Operation(
                method=get, path="/v1/ledger/head", name="head", summary="The end of the ledger, as evidence",
                run=self.head, answers={200: doc.Head}, fails=(404,),
            ),
            Operation(
                method=get, path="/v1/ledger/entries", name="entries", summary="Records of the ledger in order",
                run=self.entries, answers={200: doc.Entries}, query=page, fails=(404,),
            ),
            Operation(
                method=get, path="/v1/ledger/verify", name="verify", summary="Whether the ledger is whole",
                run=self.verify, answers={200: dict[str, Any], 202: doc.Health}, fails=(404, 503),
                query={"deep": FLAG._replace(words="read every byte")},
            ),
            Operation(
                method=get, path="/v1/ledger/why", name="why", summary="What led to a record or a value",
                run=self.why, answers={200: dict[str, Any]}, query={"of": RECORD}, fails=(404, 503),
            ),
            Operation(
                method=get, path="/v1/history", name="history", summary="What a route said over time",
                run=self.history, answers={200: doc.History}, media=(CSV,), query=span | page, fails=(404, 503),
            ),
        ]  # fmt: skip

    async def head(self, call: Call) -> Answer:
        """Answer GET /v1/ledger/head."""
        return Answer(await (await self._ledger(call)).head())

    async def entries(self, call: Call) -> Answer:
        """Answer GET /v1/ledger/entries."""
        ledger = await self._ledger(call)
        rows, after = await ledger.entries(_seq(call.query("after")), paging.limit_of(call.query("limit")))
        return Answer({"entries": rows, "next": after})

    async def verify(self, call: Call) -> Answer:
        """Answer GET /v1/ledger/verify: past 3 s it goes on, and the same question gets its answer later."""
        ledger = await self._ledger(call)
        found = await _found(ledger.verify(deep=call.flag("deep"), within_s=WAIT_S))
        if found is None:
            again = "/v1/ledger/verify" + ("?deep=true" if call.flag("deep") else "")
            return Answer({"status": "verifying"}, 202, {"Location": again, "Retry-After": "1"})
        return Answer(found)

    async def why(self, call: Call) -> Answer:
        """Answer GET /v1/ledger/why."""
        ledger = await self._ledger(call)
        of = call.query("of")
        if not of:
            raise Problem(400, "malformed", "say of what: ?of=SEQ, or ?of=ROUTE%23SEQ")
        return Answer(await _found(ledger.why(of)))

    async def history(self, call: Call) -> Answer:
        """Answer GET /v1/history."""
        route, since, until = (call.query(name) for name in ("route", "since", "until"))
        if not route:
            raise Problem(400, "malformed", "say of which route: ?route=device/family/name")
        parse_route(route)
        ledger = await self._ledger(call, route)
        wants_csv = call.query("format") == "csv" or (
            call.query("format") is None and CSV in call.request.headers.get("accept", "")
        )
        if call.query("format") not in {None, "csv", "json"}:
            raise Problem(400, "malformed", "format is json or csv")
        limit = call.query("limit")
        job = Job(
            ask="history", folder="", route=route, as_csv=wants_csv,
            since_ns=None if since is None else time_ns(since), until_ns=None if until is None else time_ns(until),
            after=_seq(call.query("after")),
            limit=MOST_ROWS if wants_csv and limit is None else paging.limit_of(limit),
        )  # fmt: skip
        found = await _found(ledger.history(job))
        return Answer(found, 200, {}, f"{CSV}; charset=utf-8" if wants_csv else "application/json")

    async def _ledger(self, call: Call, pattern: str = "*") -> LedgerQueries:
        await self._api.asks.may_look(call.caller, pattern)
        if self._api.ledger is None:
            raise Problem(404, "no_ledger", "nothing is recorded here: [ledger] of the site file says so")
        return self._api.ledger


async def _found(asking: Any) -> Any:
    try:
        return await asking
    except BusyError as error:
        raise Problem(503, "busy", str(error), {"Retry-After": "1"}) from error


def _seq(text: str | None) -> int:
    if text is None:
        return 0
    if text.isascii() and text.isdigit() and len(text) < 20 and int(text) <= MAX_SEQ:
        return int(text)
    raise Problem(400, "malformed", f"after is a sequence number, not {text[:40]!r}")
