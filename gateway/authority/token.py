"""Layer 2: tokens: a principal's rights, or a part of them, to carry about. TOKENS.md beside this file is the contract.

    tg1.<base64url of JSON>.<base64url of the Ed25519 signature over everything before its dot>

A token is judged with the public key alone, by nobody's leave. It is a secret: it stands in no record, message, log or
`repr`; its id does. Pure, but for making a key. `cryptography` is imported when the first key is made or read; files
are `keyfile.py`'s.
"""

from __future__ import annotations

import re
from base64 import urlsafe_b64decode, urlsafe_b64encode
from hashlib import sha256
from typing import Any, Final, Literal

import msgspec

from gateway.authority.grants import Verb, check_principal
from gateway.authority.moment import ClockQuality, Moment
from gateway.authority.scope import Scope
from gateway.errors import UsageError

PREFIX: Final = "tg1"
MAX_TOKEN_CHARS: Final = 2048
MAX_LIFETIME_NS: Final = 366 * 86_400_000_000_000
SKEW_MS: Final = 60_000  # by which two machines' clocks may differ that the network sets

_MS: Final = 1_000_000  # nanoseconds
_TOKEN: Final = re.compile(r"tg1\.([A-Za-z0-9_-]+)\.([A-Za-z0-9_-]+)")


TokenCode = Literal[
    "token_malformed", "token_revoked", "token_forged", "token_expired", "token_clock", "token_early"
]  # fmt: skip
"""Why a token counts for nothing."""


class Claims(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """What a token says, in milliseconds: any JSON reader takes those whole."""

    id: str  # names the token where the token itself may not stand
    principal: str
    routes: str  # a pattern
    verbs: tuple[Verb, ...]
    issued_ms: int  # wall time
    lifetime_ms: int
    clock: ClockQuality  # of the wall time
    boot: str  # of the machine, when it was issued
    monotonic_ms: int  # the same instant
    key: str  # id of the key that signed it

    def scope(self) -> Scope:
        """Return the routes. Raises: RouteError."""
        return Scope(self.routes)


class TokenFault(msgspec.Struct, frozen=True):
    """Why a token counts for nothing: a code and a sentence, neither with any part of it."""

    code: TokenCode
    message: str


class PublicKey:
    """What signatures are held against."""

    __slots__ = ("_key", "id")

    def __init__(self, raw: bytes) -> None:
        """Take the 32 bytes of an Ed25519 public key. Raises: UsageError."""
        ed25519 = _library("cryptography.hazmat.primitives.asymmetric.ed25519")
        try:
            self._key = ed25519.Ed25519PublicKey.from_public_bytes(raw)
        except ValueError as error:
            raise UsageError(f"no Ed25519 public key: {error}") from error
        self.id = sha256(raw).hexdigest()[:16]

    def has_signed(self, message: bytes, signature: bytes) -> bool:
        """Return whether the private half made this signature."""
        exceptions = _library("cryptography.exceptions")
        try:
            self._key.verify(signature, message)
        except exceptions.InvalidSignature:
            return False
        return True


class SigningKey:
    """The private half, which never shows itself but in `to_pem`."""

    __slots__ = ("_key", "public")

    def __init__(self, key: Any) -> None:
        """Take a library's Ed25519 private key."""
        serialization = _library("cryptography.hazmat.primitives.serialization")
        raw = serialization.Encoding.Raw, serialization.PublicFormat.Raw
        self._key = key
        self.public = PublicKey(key.public_key().public_bytes(*raw))

    def __repr__(self) -> str:
        return f"SigningKey(id={self.public.id!r})"

    @classmethod
    def generate(cls) -> SigningKey:
        """Return a key that nobody has."""
        ed25519 = _library("cryptography.hazmat.primitives.asymmetric.ed25519")
        return cls(ed25519.Ed25519PrivateKey.generate())

    @classmethod
    def from_pem(cls, pem: bytes) -> SigningKey:
        """Return the key in a PKCS #8 PEM text. Raises: UsageError, without any part of it."""
        serialization = _library("cryptography.hazmat.primitives.serialization")
        ed25519 = _library("cryptography.hazmat.primitives.asymmetric.ed25519")
        exceptions = _library("cryptography.exceptions")
        try:
            key = serialization.load_pem_private_key(pem, password=None)
        except (ValueError, TypeError, exceptions.UnsupportedAlgorithm):
            raise UsageError("no PEM text of an unencrypted private key") from None
        if not isinstance(key, ed25519.Ed25519PrivateKey):
            raise UsageError("a private key of another kind than Ed25519")
        return cls(key)

    def to_pem(self) -> bytes:
        """Return it as PKCS #8 PEM text, for the key file; `openssl pkey -pubout` makes the public half of that."""
        serialization = _library("cryptography.hazmat.primitives.serialization")
        pem: bytes = self._key.private_bytes(
            serialization.Encoding.PEM, serialization.PrivateFormat.PKCS8, serialization.NoEncryption()
        )
        return pem

    def sign(self, claims: Claims) -> str:
        """Return the token."""
        message = f"{PREFIX}.{_encoded(msgspec.json.encode(claims))}"
        return f"{message}.{_encoded(self._key.sign(message.encode()))}"


def claims_of(
    *,
    token_id: str,
    principal: str,
    routes: str,
    verbs: tuple[Verb, ...],
    lifetime_ns: int,
    moment: Moment,
    key: PublicKey,
) -> Claims:
    """Return what a token issued now says. Raises: UsageError for a principal, pattern or lifetime that is none."""
    check_principal(principal)
    Scope(routes)
    if not verbs:
        raise UsageError("a token without verbs allows nothing; give some of read, write, admin")
    if not _MS <= lifetime_ns <= MAX_LIFETIME_NS:
        raise UsageError("a token lives between 1ms and 366d; a lasting right is a grant in the site file")
    return Claims(
        id=token_id,
        principal=principal,
        routes=routes,
        verbs=tuple(dict.fromkeys(verbs)),
        issued_ms=moment.wall_ns // _MS,
        lifetime_ms=lifetime_ns // _MS,
        clock=moment.quality,
        boot=moment.boot_id,
        monotonic_ms=moment.monotonic_ns // _MS,
        key=key.id,
    )


def read_token(text: str, key: PublicKey | None, moment: Moment) -> Claims | TokenFault:
    """Return what a token says, once its signature and its time are proven; None: there is no key, so no token yet."""
    match = _TOKEN.fullmatch(text) if len(text) <= MAX_TOKEN_CHARS else None
    said = _decoded(match[1]) if match else None
    signature = _decoded(match[2]) if match else None
    if said is None or signature is None:
        return TokenFault("token_malformed", "the token is none of ours, or was cut; it begins with 'tg1.'")
    try:
        claims = msgspec.json.decode(said, type=Claims)
        check_principal(claims.principal)
        claims.scope()
    except (msgspec.MsgspecError, UnicodeDecodeError, UsageError):
        return TokenFault("token_malformed", "the token says nothing that this version can read; issue another")
    if key is None:
        return TokenFault("token_revoked", "this gateway has no key for tokens: none was issued, or it cannot be read")
    if claims.key != key.id:
        return TokenFault("token_revoked", "the key that signed the token is not this gateway's, or not any more")
    if not key.has_signed(text.rpartition(".")[0].encode(), signature):
        return TokenFault("token_forged", "the token's signature is not by this gateway's key")
    return _time_fault(claims, moment) or claims


def _time_fault(claims: Claims, moment: Moment) -> TokenFault | None:
    """Return what the clocks say against a token: TOKENS.md, "The clock", in its order."""
    now_ms, passed_ms = moment.wall_ns // _MS, moment.passed_ns // _MS
    was_trusted = claims.clock == "ntp"
    if was_trusted and passed_ms >= claims.issued_ms + claims.lifetime_ms:
        return _expired(f"its {claims.lifetime_ms / 1000:g} s are over")
    if claims.boot and claims.boot == moment.boot_id:
        age_ms = moment.monotonic_ns // _MS - claims.monotonic_ms
        return _expired(f"it is {age_ms / 1000:g} s old") if not 0 <= age_ms < claims.lifetime_ms else None
    if not (was_trusted and moment.is_trusted):
        when = "when it was issued" if moment.is_trusted else "now"
        return TokenFault(
            "token_clock",
            f"the token is from before this machine's last start, and the clock {when} was not set by the network, so "
            "nobody knows whether it has expired; issue another on this machine",
        )
    if claims.issued_ms > now_ms + SKEW_MS:
        return TokenFault("token_early", "the token was issued in the future; compare the clocks of both machines")
    return None


def _expired(why: str) -> TokenFault:
    return TokenFault("token_expired", f"the token has expired: {why}; issue another")


def _encoded(data: bytes) -> str:
    return urlsafe_b64encode(data).rstrip(b"=").decode()


def _decoded(text: str) -> bytes | None:
    """Return the bytes, None for a text that is not the one way to write them: a token has no second spelling."""
    try:
        data = urlsafe_b64decode(text + "=" * (-len(text) % 4))
    except ValueError:
        return None
    return data if _encoded(data) == text else None


def _library(name: str) -> Any:
    from importlib import import_module

    try:
        return import_module(name)
    except ModuleNotFoundError as error:
        raise UsageError("tokens need the `ledger` extra: pip install 'tidegate[ledger]'") from error
