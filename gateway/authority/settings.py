"""Layer 2: `[grant.NAME]` of the site file. Pure."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping
from typing import Final

import msgspec

from gateway.authority.grants import VERBS, Grant, Grants, Verb, check_principal, instant_ns
from gateway.authority.scope import Scope
from gateway.errors import UsageError

_READERS: Final[dict[str, Callable[[str], object]]] = {
    "principal": check_principal,
    "routes": Scope,
    "expires": instant_ns,
}


class GrantConfig(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True, omit_defaults=True):
    """`[grant.NAME]`: what nobody granted is denied."""

    principal: str  # "user:pi"
    routes: str  # pattern, with or without @variant
    verbs: list[Verb]
    expires: str | None = None  # ISO 8601, UTC where it names no offset; None: never

    def problems(self) -> Iterator[tuple[str, str]]:
        """Give key and message of everything wrong that a type does not tell."""
        if not self.verbs:
            yield "verbs", f"grants nothing; give some of {', '.join(VERBS)}"
        for key, reader in _READERS.items():
            text: str | None = getattr(self, key)
            try:
                if text is not None:
                    reader(text)
            except UsageError as error:
                yield key, str(error)


def grants_of(tables: Mapping[str, GrantConfig]) -> Grants:
    """Return what the tables grant. Raises: UsageError where they have problems."""
    return Grants(
        Grant(
            name=name,
            principal=check_principal(table.principal),
            scope=Scope(table.routes),
            verbs=frozenset(table.verbs),
            expires_ns=None if table.expires is None else instant_ns(table.expires),
        )
        for name, table in tables.items()
    )
