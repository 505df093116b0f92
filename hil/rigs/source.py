"""The text of a rig file: its includes laid beneath it, the environment put in, and where each key stands."""

from __future__ import annotations

import re
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any, Final

from gateway.profile.document import MAX_BYTES, Document
from gateway.profile.positions import Path as KeyPath

MAX_FILES: Final = 32
_REFERENCE: Final = re.compile(r"\$(?:(\$)(?=\{)|\{([^{}]*)\})")
_NAME: Final = re.compile(r"([A-Za-z_][A-Za-z0-9_]*)(?::-(.*))?", re.DOTALL)

Variable = Callable[[str], str | None]


class Source(Document):
    """Several files as one document: what a file says stands above what its includes say.

    A problem is told where the key stands that it is about.
    """

    def __init__(self, documents: list[Document]) -> None:
        """Take the files, the one that counts most first."""
        first = documents[0]
        super().__init__(first.file, b"")
        self._documents = documents
        self.raw = {}
        for document in reversed(documents):
            self.raw = _laid_over(self.raw, document.raw)
        for document in documents:
            self.problems += document.problems
            self.paths |= document.paths

    def report(self, path: KeyPath, message: str, severity: str = "error") -> None:
        """Add a problem at `path`, in the file that says most of it."""
        document = max(self._documents, key=lambda each: _depth(each.raw, path))  # the first of equals
        before = len(document.problems)
        document.report(path, message, severity)
        self.problems += document.problems[before:]
        self.paths.add(path)

    def place(self, path: KeyPath) -> str:
        """Return `FILE:LINE` of a key."""
        document = max(self._documents, key=lambda each: _depth(each.raw, path))
        return f"{document.file}:{document.line_of(path)}"


def sources(file: Path, variable: Variable) -> Source:
    """Return a file with all it includes. Raises: OSError where the file itself cannot be read."""
    documents = [Document(str(file), _read(file))]
    _include(documents, documents[0], file, [file.resolve()])
    for document in documents:
        document.raw = _with_environment(document, document.raw, (), variable)
    return Source(documents)


def _read(file: Path) -> bytes:
    with file.open("rb") as stream:
        return stream.read(MAX_BYTES + 1)  # one more shows that there is more


def _include(documents: list[Document], document: Document, file: Path, above: list[Path]) -> None:
    """Add the files that one includes, the last first: it was written to change those before it."""
    for index, name in reversed(list(_includes(document))):
        path: KeyPath = ("rig", "include", index)
        if len(documents) >= MAX_FILES:
            document.report(path, f"more than {MAX_FILES} files; write fewer, larger ones")
            continue
        try:
            other = file.parent / name
            real = other.resolve()
            found = None if real in above else Document(str(other), _read(other))
        except (OSError, ValueError) as error:  # the latter for a name with a NUL
            document.report(path, f"{name!r} cannot be read: {getattr(error, 'strerror', None) or error}")
            continue
        if found is None:
            document.report(path, f"{name!r} includes itself; take it out")
            continue
        documents.append(found)
        _include(documents, found, other, [*above, real])


def _includes(document: Document) -> Iterator[tuple[int, str]]:
    head = document.raw.get("rig")
    names = head.get("include") if isinstance(head, dict) else None
    if isinstance(names, list):
        yield from ((index, name) for index, name in enumerate(names) if isinstance(name, str))


def _with_environment(document: Document, value: Any, path: KeyPath, variable: Variable) -> Any:
    if isinstance(value, dict):
        return {key: _with_environment(document, item, (*path, key), variable) for key, item in value.items()}
    if isinstance(value, list):
        return [_with_environment(document, item, (*path, index), variable) for index, item in enumerate(value)]
    if not isinstance(value, str) or "${" not in value:
        return value

    def told(match: re.Match[str]) -> str:
        if match[1]:
            return "$"  # "$${" is a plain "${"
        named = _NAME.fullmatch(match[2])
        if named is None:
            document.report(path, f"${{{match[2][:40]}}} is no reference; write ${{NAME}} or ${{NAME:-default}}")
            return ""
        given = variable(named[1])
        if given is None and named[2] is None:
            document.report(path, f"{named[1]} is not set; export {named[1]}=..., or write ${{{named[1]}:-default}}")
        return given if given is not None else named[2] or ""

    return _REFERENCE.sub(told, value)


def _laid_over(below: Any, above: Any) -> Any:
    """Return two tables as one: what `above` says counts, tables are joined key by key."""
    if not (isinstance(below, dict) and isinstance(above, dict)):
        return above
    joined = {key: _laid_over(below[key], item) if key in below else item for key, item in above.items()}
    return {**{key: item for key, item in below.items() if key not in above}, **joined}


def _depth(raw: Any, path: KeyPath) -> int:
    """Return how much of a path is there."""
    for depth, part in enumerate(path):
        is_there = part in raw if isinstance(raw, dict) else isinstance(raw, list) and part in range(len(raw))
        if is_there:
            raw = raw[part]
        else:
            return depth
    return len(path)
