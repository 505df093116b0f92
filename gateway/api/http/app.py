"""Layer 7: the ASGI application of the HTTP door: who may come in, which operation is meant, and how it is answered."""

from __future__ import annotations

import logging
from collections.abc import Awaitable, Callable, Collection, Mapping, Sequence
from typing import Any, Final

import msgspec
from starlette.requests import HTTPConnection, Request
from starlette.routing import Match, Route

from gateway.api.api import Api
from gateway.api.http.call import Answer, Call
from gateway.api.http.guard import Allowance, check_head, check_host, check_origin, token_of, unauthorized
from gateway.api.http.parameters import Parameter
from gateway.api.http.problems import PROBLEM_JSON, Problem, problem_of
from gateway.api.http.turnstile import Turnstile
from gateway.authority.decision import Caller
from gateway.authority.scope import EVERYWHERE
from gateway.errors import DeniedError, GatewayError

SERVICE: Final = "service:http"  # who reads on loopback without a token
NOBODY: Final = "nobody"
SAFE: Final = {"Cache-Control": "no-store", "X-Content-Type-Options": "nosniff"}

log = logging.getLogger(__name__)

Send = Callable[[dict[str, Any]], Awaitable[None]]
Receive = Callable[[], Awaitable[dict[str, Any]]]
Handler = Callable[[Call], Awaitable[Answer]]
Streamer = Callable[[HTTPConnection, Caller, Any, Receive, Send], Awaitable[None]]


class Operation(msgspec.Struct, frozen=True, kw_only=True):
    """One thing that can be asked for or done: what `openapi.json` says of it is what is checked."""

    method: str
    path: str
    name: str
    summary: str
    run: Handler
    answers: dict[int, Any]  # status -> type of the body, several where it is one of them, None for no JSON
    media: tuple[str, ...] = ()  # in which else it may come
    parts: Mapping[str, Parameter] = {}  # what a part of the path may be, where that is not any text
    takes: Any = None  # type of the body
    takes_text: tuple[str, ...] = ()  # media types of a body that is text
    query: Mapping[str, Parameter | str] = {}  # what may stand behind the `?`; only words: any text
    headers: Mapping[str, Parameter | str] = {}  # what else counts of the head
    is_open: bool = False  # needs nobody's leave
    fails: tuple[int, ...] = ()


class App:
    """One per door."""

    def __init__(
        self,
        api: Api,
        operations: Sequence[Operation],
        *,
        streams: dict[str, Streamer] | None = None,
        is_loopback: bool,
        names: Collection[str],
        max_body: int,
    ) -> None:
        """Take what can be done; `names` are this machine's, `streams` what never ends, by path."""
        self._api = api
        self._is_loopback = is_loopback
        self._names = names
        self._max_body = max_body
        self._streams = streams or {}
        self.allowance = Allowance()
        self._turnstile = Turnstile()
        self.answered: dict[int, int] = {}  # by status
        by_path: dict[str, dict[str, Operation]] = {}
        for each in operations:
            by_path.setdefault(each.path, {})[each.method] = each
        self._plain = {path: found for path, found in by_path.items() if "{" not in path}
        self._routes = [(Route(path, _nothing), found) for path, found in by_path.items() if "{" in path]

    async def __call__(self, scope: dict[str, Any], receive: Receive, send: Send) -> None:
        """Answer one request, or serve one WebSocket."""
        if scope["type"] not in {"http", "websocket"}:
            return
        connection = HTTPConnection(scope, receive)
        await self._turnstile.enter()
        try:
            check_head(scope["headers"], len(scope["raw_path"]) + len(scope["query_string"]))
            host = check_host(connection.headers.get("host"), is_loopback=self._is_loopback, names=self._names)
            check_origin(connection.headers.get("origin"), scope["scheme"].replace("ws", "http"), host)
            streamer = self._streams.get(scope["path"])
            if streamer is not None and scope.get("method", "GET") == "GET":
                caller = await self._caller(connection, is_write=False)
                await streamer(connection, caller, scope, receive, send)
                return
            answer = await self._answer(scope, receive)
        except (GatewayError, msgspec.MsgspecError) as error:
            await self._refuse(problem_of(error), scope, send)
        except Problem as problem:
            await self._refuse(problem, scope, send)
        except Exception:  # the boundary of a request, as the supervisor is that of a device
            log.exception("fault: %s %s", scope.get("method", "WebSocket"), scope["path"])
            await self._refuse(Problem(500, "fault", "it was logged; the gateway goes on"), scope, send)
        else:
            await self._send(answer, send)

    async def _answer(self, scope: dict[str, Any], receive: Receive) -> Answer:
        if scope["type"] == "websocket":
            raise Problem(404, "unknown_path", f"no WebSocket at {scope['path'][:200]!r}; there is /v1/watch")
        request = Request(scope, receive)
        operation = self._find(request)
        caller = Caller(principal=None)
        is_write = operation.method not in {"GET", "HEAD"}
        if not operation.is_open:
            caller = await self._caller(request, is_write=is_write)
        call = Call(request, caller, self._max_body)
        call.check_query(operation.query)
        return await operation.run(call)

    def _find(self, request: Request) -> Operation:
        """Return what a request asks for. Raises: Problem."""
        if request.scope["path"] in self._streams:
            raise Problem(405, "method", f"here is GET, no {request.method[:20]}", {"Allow": "GET"})
        methods = self._plain.get(request.scope["path"])
        if methods is None:
            for route, found in self._routes:
                match, more = route.matches(request.scope)
                if match is not Match.NONE:
                    request.scope["path_params"] = more["path_params"]
                    methods = found
                    break
        if methods is None:
            raise Problem(404, "unknown_path", f"nothing is at {request.scope['path'][:200]!r}; see /openapi.json")
        wanted = "GET" if request.method == "HEAD" else request.method
        if wanted not in methods:
            allowed = ", ".join(sorted(methods))
            raise Problem(405, "method", f"here is {allowed}, no {request.method[:20]}", {"Allow": allowed})
        return methods[wanted]

    async def _caller(self, connection: HTTPConnection, *, is_write: bool) -> Caller:
        """Return who asks. Raises: Problem for a bad token, for none where one is needed, and for too much."""
        token = token_of(connection.headers.get("authorization"), connection.scope.get("subprotocols", ()))
        principal: str | None = None
        why = ""
        try:
            if token is not None:
                principal = await self._api.warden.principal_of(Caller(principal=None, token=token))
        except DeniedError as error:
            why = str(error)
        is_known = principal is not None
        is_reader = token is None and self._is_loopback and not is_write
        if is_write or not (is_known or is_reader):
            self._count(principal or NOBODY)
        if is_known:
            return Caller(principal=None, token=token)
        if is_reader:
            return Caller(principal=SERVICE, is_local=True)
        if not why:  # a bad token is on record already
            await self._api.warden.authorise(
                Caller(principal=None, token=token), EVERYWHERE, "write" if is_write else "read"
            )
        if token is not None:
            raise unauthorized(why, "bad_token")
        raise unauthorized("give a token, `Authorization: Bearer TOKEN`; `tidegate token issue` makes one")

    def _count(self, principal: str) -> None:
        wait_s = self.allowance.take(principal, self._api.clock.monotonic_ns())
        if wait_s:
            raise Problem(429, "rate", "at most 50 writes a second for each principal", {"Retry-After": "1"})

    async def _refuse(self, problem: Problem, scope: dict[str, Any], send: Send) -> None:
        if "tidegate.begun" in scope:
            return
        kind = "websocket.http.response" if scope["type"] == "websocket" else "http.response"
        await self._send(Answer(problem.body(), problem.status, problem.headers, PROBLEM_JSON), send, kind)

    async def _send(self, answer: Answer, send: Send, kind: str = "http.response") -> None:
        status, body = answer.status, answer.body()
        self.answered[status] = self.answered.get(status, 0) + 1
        head = [] if status == 304 else [
            (b"content-type", answer.media_type.encode()), (b"content-length", str(len(body)).encode()),
        ]  # fmt: skip
        told = SAFE | answer.headers
        head += [(name.lower().encode(), value.encode("latin-1", "replace")) for name, value in told.items()]
        await send({"type": f"{kind}.start", "status": status, "headers": head})
        await send({"type": f"{kind}.body", "body": body})


async def _nothing(_request: Request) -> Any:
    """Stand where Starlette wants a function: only its matching of paths is used."""
