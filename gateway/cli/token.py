"""Layer 9: `tidegate token`."""

from __future__ import annotations

import click
import msgspec

from gateway.cli.client import data_option, json_option, token_option
from gateway.cli.duration import duration
from gateway.cli.grants import VERBS
from gateway.cli.talk import ask_once, json_text
from gateway.errors import UsageError
from gateway.spelling import did_you_mean


class _Token(msgspec.Struct, frozen=True):
    token: str


@click.group(name="token")
def group() -> None:
    """Make tokens: a principal's rights, or a part of them, to carry about for a while.

    For example `tidegate token issue --principal service:night --routes 'pump/**' --verbs write --expires 10m`.
    """


@group.command(name="issue")
@click.option("--principal", required=True, help="Whose rights: user:NAME or service:NAME.")
@click.option("--routes", required=True, metavar="PATTERN", help="On which: `*` is one segment, `**` any number.")
@click.option("--verbs", required=True, metavar="VERB,..", help="What for: some of read, write, admin.")
@click.option("--expires", metavar="DURATION", callback=duration, default="10m", help="How long it lives [10m].")
@json_option
@token_option
@data_option
def issue_command(
    *,
    principal: str,
    routes: str,
    verbs: str,
    expires: float,
    as_json: bool,
    token: str | None,
    data: str | None,
) -> None:
    """Print a token, one line: whoever has it acts as PRINCIPAL, within its grants, until it expires.

    It is a secret. Commands take it from TIDEGATE_TOKEN, or as --token, which other users of the machine can see.
    Takes the verb admin on the routes.

    For example `tidegate token issue --principal service:night --routes 'pump/motor/*@desired' --verbs read,write
    --expires 8h > night.token`, then `TIDEGATE_TOKEN="$(cat night.token)" tidegate set pump/motor/speed 0`.

    Exit 2: the principal has no such rights, or denied. 3: no gateway.
    """
    wanted = _verbs_of(verbs)
    told = ask_once(
        data, token, "issue_token", _Token, principal=principal, routes=routes, verbs=wanted, expires_s=expires
    )
    click.echo(json_text(told) if as_json else told.token)


def _verbs_of(text: str) -> list[str]:
    """Return the verbs of "read,write", each once. Raises: UsageError."""
    verbs = list(dict.fromkeys(word.strip() for word in text.split(",")))
    for verb in verbs:
        if verb not in VERBS:
            raise UsageError(f"--verbs: no verb {verb[:40]!r}{did_you_mean(verb, VERBS)}")
    return verbs
