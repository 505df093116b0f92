"""Layer 3: profile files found, read and cached. The one place below layer 4, beside config, that opens files.

A checked and expanded profile is kept under DATA/plans by the digest of everything it was made from, so that a second
start needs neither checks nor cantools.
"""

from __future__ import annotations

import hashlib
import os
import re
from collections.abc import Callable, Mapping
from importlib.util import find_spec
from pathlib import Path
from typing import Any, Final

import msgspec

from gateway.environment import data_folder
from gateway.errors import GatewayError, Problem, ProfileError, UsageError
from gateway.profile.identity import ProfileId, profile_id
from gateway.profile.model import Profile
from gateway.spelling import did_you_mean

Transforms = Mapping[str, Callable[..., Any]]

MAX_FILE_BYTES: Final = 32_000_000  # of any file read here; documents refuse less with a line
INSTALLED: Final = "profiles"  # the folder of installed ones in a data folder
MAX_CACHED: Final = 512  # profiles; the oldest go first
_ID: Final = re.compile(rb'^[ \t]*id[ \t]*=[ \t]*["\']([^"\'\n]+)["\']', re.MULTILINE)
_SOURCES: Final = ("profile", "schema", "framing")


class _Cached(msgspec.Struct, frozen=True, array_like=True):
    """One file of the cache: what else was read, with its digest, and the profile as msgpack."""

    beside: dict[str, str]  # file name -> digest
    checksum: bytes  # of `profile`
    profile: bytes


def load_profile(path: Path | str, params: Mapping[str, object] | None = None) -> Profile:
    """Return the profile in a `.toml` or `.dbc` file with `params` put in and `[dbc]` expanded.

    Raises: ProfileError with everything that is wrong, warnings aside.
    """
    file = Path(path)
    data = _read(file)
    cache = data_folder() / "plans" / f"{_digest(data, file, params)}.msgpack"
    profile = _recall(cache, file.parent)
    if profile is not None:
        return profile
    beside: dict[str, str] = {}

    def read_beside(name: str) -> bytes:
        content = _read_limited(file.parent / name)
        beside[name] = hashlib.sha256(content).hexdigest()
        return content

    from gateway.profile.validate import Examined, examine

    if is_dbc(file):
        from gateway.profile.dbc import profile_of_dbc

        examined = Examined(profile_of_dbc(str(file), data), [])
    else:
        examined = examine(str(file), data, dict(params or {}), read_beside)
    if examined.profile is None:
        raise ProfileError([problem for problem in examined.problems if problem.severity == "error"])
    if not examined.is_secret:
        _remember(cache, examined.profile, beside)
    return examined.profile


def check_profile(path: Path | str, transforms: Transforms | None = None) -> list[Problem]:
    """Return everything wrong with a profile or DBC file, warnings too, in file order. Examples stand in for params.

    `transforms` are those that are installed, by name; None: any will do.
    """
    from gateway.profile.validate import examine

    file = Path(path)
    try:
        data = _read(file)
        if is_dbc(file):
            from gateway.profile.dbc import check_dbc

            return check_dbc(str(file), data)
    except ProfileError as error:
        return list(error.problems)
    examined = examine(str(file), data, None, lambda name: _read_limited(file.parent / name), transforms)
    if examined.profile is None:
        return examined.problems
    return [*examined.problems, *_uncompilable(examined.profile, str(file), data, transforms or {})]


def check_text(name: str, data: bytes, transforms: Transforms) -> tuple[Profile | None, list[Problem]]:
    """Return the profile that lies nowhere yet, None where it is refused, and everything wrong with it.

    Nothing can lie beside it, and it names no code: who sends it may be somebody who may not install any.
    """
    from gateway.profile.document import Document
    from gateway.profile.validate import examine

    examined = examine(name, data, None, _nothing_beside, transforms)
    if examined.profile is None:
        return None, examined.problems
    foreign = [key for key, spec in examined.profile.message.items() if spec.construct is not None]
    if foreign:
        document = Document(name, data)
        for key in foreign:
            document.report(
                ("message", key, "construct"), "a profile that is sent here names no code of other packages"
            )
        return None, [*examined.problems, *document.sorted_problems()]
    wrong = _uncompilable(examined.profile, name, data, transforms)
    return None if wrong else examined.profile, [*examined.problems, *wrong]


def _nothing_beside(name: str) -> bytes:
    what = "nothing can lie beside a profile that is sent here; `tidegate profile import dbc` makes one file of it"
    raise FileNotFoundError(2, what, name)


def _uncompilable(profile: Profile, file: str, data: bytes, transforms: Transforms) -> list[Problem]:
    """Return what only shows when layouts are built: a construct object that is missing or none."""
    from gateway.profile.build import CompiledProfile
    from gateway.profile.document import Document

    compiled = CompiledProfile(profile, transforms)
    problems = []
    for name, spec in profile.message.items():
        try:
            compiled.messages[name]
        except (GatewayError, ValueError) as error:
            path = ("message", name, "construct") if spec.construct else ("message", name)
            line = Document(file, data).line_of(path)
            problems.append(Problem(file, line, ".".join(path), f"cannot be compiled: {error}"))
    return problems


def example_profile(path: Path | str) -> Profile:
    """Return a profile with example values for its parameters: for looking at it, never for a device.

    Raises: ProfileError.
    """
    from gateway.profile.validate import examine

    file = Path(path)
    if is_dbc(file):
        return load_profile(file)
    examined = examine(str(file), _read(file), None, lambda name: _read_limited(file.parent / name))
    if examined.profile is None:
        raise ProfileError([problem for problem in examined.problems if problem.severity == "error"])
    return examined.profile


def is_dbc(path: Path) -> bool:
    """Return whether a file is a CAN database, which is a profile of its own."""
    return path.suffix.lower() == ".dbc"


def shipped_profiles() -> dict[str, Path]:
    """Return the profiles that come with Tidegate: folder name to file, in order of names."""
    package = find_spec("profiles")  # found, never imported
    folders = [Path(place) for place in package.submodule_search_locations or ()] if package else []
    found = [path for folder in folders for path in folder.glob("*/*/profile.toml")]
    return {path.parent.name: path for path in sorted(found, key=lambda path: path.parent.name)}


def installed_profiles(folder: Path | None) -> dict[ProfileId, Path]:
    """Return the profiles that were installed into a folder, `PUBLISHER/NAME@VERSION.toml`, in order of ids."""
    found: dict[ProfileId, Path] = {}
    for path in () if folder is None else folder.glob("*/*.toml"):
        try:
            found[profile_id(f"{path.parent.name}/{path.stem}")] = path
        except UsageError:  # somebody else's file
            continue
    return dict(sorted(found.items()))


def find_profile(name_or_path: str, folder: Path | None = None, installed: Path | None = None) -> Path:
    """Return the file meant by a shipped name, `publisher/name@1`, `name@1.0.0`, or a path (relative to `folder`).

    `installed` is where further ones lie, which are known by their ids. Of several versions the newest is meant.
    Raises: UsageError with the nearest names.
    """
    shipped = shipped_profiles()
    found = shipped.get(name_or_path) or _by_path(name_or_path, folder) or find_known(name_or_path, installed)
    if found is not None:
        return found
    if name_or_path.endswith((".toml", ".dbc", ".DBC")):
        raise UsageError(f"there is no file {name_or_path!r}")
    known = [*shipped, *map(str, installed_profiles(installed))]
    hint = did_you_mean(name_or_path, known) or "; `tidegate profile list` names those that come with Tidegate"
    raise UsageError(f"no profile {name_or_path!r}{hint}")


def find_known(name: str, installed: Path | None = None) -> Path | None:
    """Return a shipped or installed profile, never a file of another place; None where there is none.

    Raises: UsageError for a name that profiles of several publishers have.
    """
    shipped = shipped_profiles()
    if name in shipped:
        return shipped[name]
    found = [(known, path) for known, path in shipped_ids().items() if known.answers_to(name)]
    found += [(known, path) for known, path in installed_profiles(installed).items() if known.answers_to(name)]
    lineages = sorted({known.lineage for known, _ in found})
    if len(lineages) > 1:
        raise UsageError(f"{name!r} may be {' or '.join(lineages)}; write it with its publisher")
    return max(found, key=lambda each: each[0].age)[1] if found else None  # of equals the shipped one, which is first


def shipped_ids() -> dict[ProfileId, Path]:
    """Return the profiles that come with Tidegate by id."""
    found = {}
    for path in shipped_profiles().values():
        if match := _ID.search(_read(path)):
            found[profile_id(match[1].decode("utf-8", "replace"))] = path
    return found


def file_text(path: Path | str) -> bytes:
    """Return the bytes of a profile or DBC file. Raises: ProfileError."""
    return _read(Path(path))


def _by_path(text: str, folder: Path | None) -> Path | None:
    for base in (folder, Path()) if folder is not None else (Path(),):
        try:
            path = base / Path(text).expanduser()
            if path.exists() and not path.is_dir():
                return path
            if (path / "profile.toml").is_file():
                return path / "profile.toml"
        except (OSError, ValueError, RuntimeError):  # too long, a NUL, a home that nobody has: no path at all
            continue
    return None


def _read(path: Path) -> bytes:
    try:
        return _read_limited(path)
    except OSError as error:
        raise ProfileError([Problem(str(path), 0, "", f"cannot be read: {error.strerror or error}")]) from error


def _read_limited(path: Path) -> bytes:
    """Return the file, at most one byte more than anything that is accepted."""
    with path.open("rb") as stream:
        return stream.read(MAX_FILE_BYTES + 1)


def _digest(data: bytes, path: Path, params: Mapping[str, object] | None) -> str:
    """Return a name for all that the outcome depends on: the file, its path, the parameters, our own code."""
    digest = hashlib.sha256(data)
    facts = [str(path), sorted((params or {}).items()), _code_age()]
    digest.update(b"\x00" + repr(facts).encode("utf-8", "surrogateescape"))
    return digest.hexdigest()


def _code_age() -> list[int]:
    """Return when the code that checks and expands was last changed: an update must not serve old conclusions."""
    package = Path(__file__).parent.parent
    folders = [package, *(package / name for name in _SOURCES)]
    newest = [max((entry.stat().st_mtime_ns for entry in os.scandir(folder)), default=0) for folder in folders]
    return [*newest, sum(1 for folder in folders for _ in os.scandir(folder))]


def _recall(cache: Path, folder: Path) -> Profile | None:
    """Return the cached profile; None where there is none, or it is damaged, or a file beside it has changed."""
    try:
        entry = msgspec.msgpack.decode(cache.read_bytes(), type=_Cached)
        if hashlib.sha256(entry.profile).digest() != entry.checksum:
            return None
        for name, digest in entry.beside.items():
            if hashlib.sha256(_read_limited(folder / name)).hexdigest() != digest:
                return None
        return msgspec.msgpack.decode(entry.profile, type=Profile)
    except (OSError, msgspec.DecodeError, ValueError):
        return None


def _remember(cache: Path, profile: Profile, beside: dict[str, str]) -> None:
    """Write the cache file whole or not at all; a folder that cannot be written is no fault."""
    content = msgspec.msgpack.encode(profile)
    entry = _Cached(beside, hashlib.sha256(content).digest(), content)
    import tempfile

    try:
        cache.parent.mkdir(mode=0o700, parents=True, exist_ok=True)
        _forget_oldest(cache.parent)
        handle, name = tempfile.mkstemp(dir=cache.parent, suffix=".part")
        with os.fdopen(handle, "wb") as stream:
            stream.write(msgspec.msgpack.encode(entry))
        Path(name).replace(cache)
    except OSError:
        return


def _forget_oldest(folder: Path) -> None:
    files = sorted(folder.iterdir(), key=lambda path: path.stat().st_mtime_ns)
    for path in files[: max(0, len(files) - MAX_CACHED + 1)]:
        path.unlink(missing_ok=True)
