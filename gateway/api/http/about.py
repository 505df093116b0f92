"""Layer 7: what a gateway says of itself over HTTP: state, health, machine, metrics, and what can be asked for."""

from __future__ import annotations

import asyncio
from collections.abc import Sequence
from importlib.metadata import version
from typing import Any

import msgspec

from gateway.api.api import Api
from gateway.api.host import host_facts
from gateway.api.http import documents as doc
from gateway.api.http import openapi, reference
from gateway.api.http.app import Operation
from gateway.api.http.call import Answer, Call
from gateway.errors import UsageError


class AboutOperations:
    """The handlers; what they need is imported when it is first asked for."""

    def __init__(self, api: Api, others: Sequence[Operation], *, tells_values: bool) -> None:
        """Take what is behind the door, and what else can be asked for; `tells_values`: metrics have them too."""
        self._api = api
        self._others = others
        self._tells_values = tells_values
        self._metrics: Any = None
        self._was_ready = False
        self._document: dict[str, Any] | None = None

    def all(self) -> list[Operation]:
        """Return everything that can be asked for here."""
        get = "GET"
        return [
            Operation(
                method=get, path="/metrics", name="metrics", summary="Everything counted, for Prometheus",
                run=self.metrics, answers={200: None}, media=("text/plain",),
            ),
            Operation(
                method=get, path="/openapi.json", name="openapi", summary="This description",
                run=self.openapi, answers={200: dict[str, Any]},
            ),
            Operation(
                method=get, path="/docs", name="docs", summary="This description, for people",
                run=self.docs, answers={200: None}, media=("text/html",),
            ),
            Operation(
                method=get, path="/v1/status", name="status", summary="What the gateway does, and what was lost",
                run=self.status, answers={200: dict[str, Any]},
            ),
            Operation(
                method=get, path="/v1/host", name="host", summary="The machine that the gateway runs on",
                run=self.host, answers={200: dict[str, Any]},
            ),
            Operation(
                method=get, path="/healthz", name="healthz", summary="Whether the gateway lives",
                run=self.healthz, answers={200: doc.Health}, is_open=True,
            ),
            Operation(
                method=get, path="/readyz", name="readyz",
                summary="Whether the ledger is open, shadows are back and ports were tried",
                run=self.readyz, answers={200: doc.Health, 503: doc.Health}, is_open=True,
            ),
        ]  # fmt: skip

    def for_machines(self) -> list[Operation]:
        """Return what a door tells that is there for metrics alone."""
        return [each for each in self.all() if each.name in {"metrics", "healthz", "readyz"}]

    async def status(self, call: Call) -> Answer:
        """Answer GET /v1/status."""
        await self._api.asks.may_look(call.caller)
        return Answer(self._api.queries.status())

    async def host(self, call: Call) -> Answer:
        """Answer GET /v1/host."""
        await self._api.asks.may_look(call.caller)
        return Answer(await asyncio.to_thread(host_facts, self._api.data_dir))

    async def healthz(self, _call: Call) -> Answer:
        """Answer GET /healthz."""
        return Answer({"status": "alive"})

    async def readyz(self, _call: Call) -> Answer:
        """Answer GET /readyz; once ready it stays so."""
        self._was_ready = self._was_ready or self._api.is_ready()
        return (
            Answer({"status": "ready"})
            if self._was_ready
            else Answer({"status": "starting"}, 503, {"Retry-After": "1"})
        )

    async def metrics(self, call: Call) -> Answer:
        """Answer GET /metrics."""
        await self._api.asks.may_look(call.caller)
        if self._metrics is None:
            try:
                from gateway.api.http.metrics import Metrics
            except ModuleNotFoundError as error:
                raise UsageError("metrics need the `metrics` extra: pip install 'tidegate[metrics]'") from error
            queries = self._api.queries
            self._metrics = Metrics(queries.status, queries.values if self._tells_values else None)
        return Answer(self._metrics.text(), 200, {}, "text/plain; version=0.0.4; charset=utf-8")

    async def openapi(self, _call: Call) -> Answer:
        """Answer GET /openapi.json."""
        return Answer(msgspec.json.encode(self._told()))

    async def docs(self, _call: Call) -> Answer:
        """Answer GET /docs."""
        headers = {"Content-Security-Policy": reference.POLICY}
        return Answer(reference.page(self._told()), 200, headers, "text/html; charset=utf-8")

    def _told(self) -> dict[str, Any]:
        if self._document is None:
            self._document = openapi.document([*self._others, *self.all()], version("tidegate"))
        return self._document
