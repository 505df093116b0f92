"""Layer 7: the dashboard's pages: files of the folder `dashboard`, as they are.

They hold nothing of the gateway's, so nobody needs leave for them: what they show they ask for through the API, like
every other client, with the token of who looks.
"""

from __future__ import annotations

from hashlib import sha256
from pathlib import Path
from typing import Final

from gateway.api.http.app import Operation
from gateway.api.http.call import Answer, Call

FOLDER: Final = Path(__file__).parent / "dashboard"
PREFIX: Final = "/dashboard"
MEDIA_TYPES: Final = {
    ".html": "text/html; charset=utf-8",
    ".js": "text/javascript; charset=utf-8",
    ".css": "text/css; charset=utf-8",
    ".svg": "image/svg+xml",
}
TEXT: Final = "text/plain; charset=utf-8"  # of a licence
_POLICY: Final = (
    "default-src 'none'; script-src 'self'; style-src 'self'; img-src 'self'; connect-src 'self'; base-uri 'none'; "
    "form-action 'none'; frame-ancestors 'none'; require-trusted-types-for 'script'; trusted-types 'none'"
)
HEADERS: Final = {
    "Content-Security-Policy": _POLICY,  # and no page can make a script, a style or HTML out of what a wire said
    "Cross-Origin-Opener-Policy": "same-origin",
    "Cross-Origin-Resource-Policy": "same-origin",
    "Permissions-Policy": "camera=(), geolocation=(), microphone=(), payment=(), usb=()",
    "Referrer-Policy": "no-referrer",
    "Cache-Control": "no-cache",  # asked for again by its ETag: a gateway that was updated shows its own pages
}


class Pages:
    """The handlers; a file is read when it is first asked for."""

    def __init__(self) -> None:
        """Find the files."""
        files = (path for path in FOLDER.rglob("*") if path.is_file())
        self._files = {f"{PREFIX}/{path.relative_to(FOLDER).as_posix()}": path for path in files}
        self._files["/"] = FOLDER / "index.html"
        self._read: dict[str, tuple[bytes, str]] = {}  # path -> body, ETag

    def all(self) -> list[Operation]:
        """Return one operation for each file: nothing else can be asked for."""
        return [
            Operation(
                method="GET", path=path, name=path, summary="A file of the dashboard", run=self.page,
                answers={200: None, 304: None}, is_open=True,
            )
            for path in sorted(self._files)
        ]  # fmt: skip

    async def page(self, call: Call) -> Answer:
        """Answer with a file."""
        path = call.request.scope["path"]
        body, tag = self._body(path)
        headers = HEADERS | {"ETag": tag}
        if tag in call.request.headers.get("if-none-match", ""):
            return Answer(b"", 304, headers)
        return Answer(body, 200, headers, MEDIA_TYPES.get(self._files[path].suffix, TEXT))

    def _body(self, path: str) -> tuple[bytes, str]:
        found = self._read.get(path)
        if found is None:
            body = self._files[path].read_bytes()
            found = self._read[path] = body, f'"{sha256(body).hexdigest()[:24]}"'
        return found
