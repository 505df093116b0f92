"""Layer 9: `tidegate encode`: values to the bytes a device would be sent, as hex."""

from __future__ import annotations

from collections.abc import Iterable
from typing import Any, Final

import click
import msgspec

from gateway.cli.decode import params_of
from gateway.errors import UsageError
from gateway.profile.build import CompiledProfile
from gateway.profile.load import find_profile, load_profile
from gateway.schema.match import apply_when
from gateway.spelling import did_you_mean

_TEXTUAL: Final = frozenset({"bytes", "text"})


@click.command()
@click.argument("profile")
@click.argument("message")
@click.argument("fields", nargs=-1, metavar="[FIELD=VALUE]...")
@click.option("--framed", is_flag=True, help="The whole frame: start, length, check and escapes too.")
@click.option("--param", "params", multiple=True, metavar="NAME=VALUE", help="A parameter of the profile.")
def command(*, profile: str, message: str, fields: tuple[str, ...], framed: bool, params: tuple[str, ...]) -> None:
    """Print as hex the body of MESSAGE of PROFILE (a file, a shipped name, or a .dbc) with these values.

    A value is JSON if it parses (5, 1.5, true, null, [1, 2], {"a": 1}, "text"), else text; null is the field's
    "invalid". Constants, lengths, checks and fields without a name are filled in.

    Exit 2: unknown field, out of range, or not writable; the reason is on standard error.
    """
    compiled = CompiledProfile(load_profile(find_profile(profile), params_of(params)))
    known = compiled.profile.message
    if message not in known:
        raise UsageError(f"{profile} has no message {message!r}{did_you_mean(message, known)}")
    plan = compiled.messages[message]
    types = {field.name: getattr(field, "type", None) for field in plan.fields}
    body = apply_when(known[message], plan.encode(values_of(fields, types)))
    click.echo((compiled.framer().encode(body) if framed else body).hex())


def values_of(texts: Iterable[str], types: dict[str | None, str | None]) -> dict[str, Any]:
    """Return FIELD=VALUE arguments as values; `types` are the fields' wire types. Raises: UsageError."""
    found: dict[str, Any] = {}
    for text in texts:
        name, equals, value = text.partition("=")
        if not equals or not name:
            raise UsageError(f"{text!r}: write FIELD=VALUE")
        if name in found:
            raise UsageError(f"{name} is given twice")
        found[name] = _value(value, types.get(name))
    return found


def _value(text: str, kind: str | None) -> Any:
    try:
        value = msgspec.json.decode(text)
    except (msgspec.DecodeError, UnicodeError, RecursionError):
        return text
    # a field of bytes or text takes no number: 112233 are its digits
    return text if kind in _TEXTUAL and isinstance(value, int | float) else value
