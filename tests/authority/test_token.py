"""Tokens: offline, unforgeable, and mortal under a clock that lies."""

from __future__ import annotations

import json
from base64 import urlsafe_b64decode, urlsafe_b64encode

import msgspec
import pytest
from cryptography.hazmat.primitives import serialization
from cryptography.hazmat.primitives.asymmetric import ec
from hypothesis import given
from hypothesis import strategies as st

from gateway.authority.moment import ClockQuality, Moment
from gateway.authority.token import MAX_LIFETIME_NS, PublicKey, SigningKey, TokenFault, claims_of, read_token
from gateway.errors import UsageError
from tests.authority.kit import KEY, NOW_NS, OTHER_KEY, S, claims, moment

TOKEN = KEY.sign(claims())
BASE64URL = "ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789-_"


def fault(text: str, key: PublicKey | None = KEY.public, at: Moment | None = None) -> str | None:
    read = read_token(text, key, at or moment())
    return read.code if isinstance(read, TokenFault) else None


def encoded(data: bytes) -> str:
    return urlsafe_b64encode(data).rstrip(b"=").decode()


def signed(said: bytes, key: SigningKey = KEY) -> str:
    """Return a token that says anything, with a good signature."""
    message = f"tg1.{encoded(said)}"
    return f"{message}.{encoded(key._key.sign(message.encode()))}"


def test_a_token_says_what_was_signed() -> None:
    assert read_token(TOKEN, KEY.public, moment()) == claims()


def test_a_token_is_one_word_of_three_parts() -> None:
    prefix, said, signature = TOKEN.split(".")
    assert (prefix, len(urlsafe_b64decode(signature + "=="))) == ("tg1", 64)
    assert json.loads(urlsafe_b64decode(said + "=" * (-len(said) % 4)))["principal"] == "user:pi"


def test_the_public_half_alone_judges_a_token() -> None:
    private = serialization.load_pem_private_key(KEY.to_pem(), password=None)
    raw = private.public_key().public_bytes(serialization.Encoding.Raw, serialization.PublicFormat.Raw)
    assert fault(TOKEN, PublicKey(raw)) is None


@given(place=st.integers(4, len(TOKEN) - 1), letter=st.sampled_from(BASE64URL))
def test_a_token_with_any_letter_changed_is_refused(place: int, letter: str) -> None:
    changed = TOKEN[:place] + letter + TOKEN[place + 1 :]
    assert changed == TOKEN or fault(changed) is not None


@given(place=st.integers(0, len(TOKEN)))
def test_a_token_cut_anywhere_is_refused(place: int) -> None:
    assert place == len(TOKEN) or fault(TOKEN[:place]) is not None


def test_the_signature_of_one_token_does_not_serve_another() -> None:
    other = KEY.sign(claims("**", ("admin",)))
    assert fault(f"{other.rpartition('.')[0]}.{TOKEN.rpartition('.')[2]}") == "token_forged"


def test_a_token_that_names_our_key_and_is_signed_by_another_is_forged() -> None:
    assert fault(OTHER_KEY.sign(claims())) == "token_forged"


def test_another_key_revokes_every_token() -> None:
    assert fault(TOKEN, OTHER_KEY.public) == "token_revoked"


def test_without_a_key_no_token_counts() -> None:
    assert fault(TOKEN, None) == "token_revoked"


@pytest.mark.parametrize(
    "text",
    ["", "tg1", "tg1..", "tg2" + TOKEN[3:], TOKEN + "=", TOKEN + "\n", " " + TOKEN, TOKEN + ".x", "tg1.e30.é",
     "x" * 5000, "tg1." + "A" * 100_000 + ".A", "Bearer " + TOKEN],
)  # fmt: skip
def test_what_is_no_token_is_malformed(text: str) -> None:
    assert fault(text) == "token_malformed"


def test_a_token_has_one_spelling_only() -> None:
    last = BASE64URL.index(TOKEN[-1])
    assert fault(TOKEN[:-1] + BASE64URL[last ^ 1]) == "token_malformed"  # bits that stand for nothing


@pytest.mark.parametrize(
    "change",
    [{"verbs": ["read", "own"]}, {"verbs": "read"}, {"principal": "root"}, {"routes": "pump"}, {"more": 1},
     {"lifetime_ms": None}, {"lifetime_ms": "600"}, {"clock": "gps"}, {"issued_ms": 1.5}],
)  # fmt: skip
def test_a_signed_text_that_is_no_claim_of_this_version_is_malformed(change: dict[str, object]) -> None:
    assert fault(signed(json.dumps(msgspec.to_builtins(claims()) | change).encode())) == "token_malformed"


@pytest.mark.parametrize("said", [b"\xff", b"[]", b"null", b"{" * 900, b""])
def test_a_signed_text_that_is_no_object_is_malformed(said: bytes) -> None:
    assert fault(signed(said)) == "token_malformed"


def test_nothing_that_refuses_a_token_repeats_it() -> None:
    faults = [read_token(text, KEY.public, moment()) for text in (TOKEN[:-2], OTHER_KEY.sign(claims()), "tg1.secret")]
    assert not any(part in repr(each) for each in faults for part in [*TOKEN.split(".")[1:], "secret"])


def test_a_key_does_not_show_itself() -> None:
    assert repr(KEY) == f"SigningKey(id={KEY.public.id!r})"


# The clock: TOKENS.md. A token lives 600 s and is read `after` seconds of wall time later.
CLOCKS: list[tuple[ClockQuality, bool, ClockQuality, float, float, str | None]] = [
    # issued under, same start of the machine, read under, wall seconds later, monotonic seconds later, fault
    ("ntp", True, "ntp", 599, 599, None),
    ("ntp", True, "ntp", 600, 600, "token_expired"),
    ("ntp", True, "ntp", 0, 600, "token_expired"),
    ("ntp", True, "ntp", 600, 0, "token_expired"),  # asleep for ten minutes: the monotonic clock stood still
    ("none", True, "none", 599, 599, None),
    ("none", True, "none", 0, 600, "token_expired"),  # somebody held the wall clock
    ("none", True, "none", -1e9, 600, "token_expired"),  # or set it back
    ("none", True, "none", -1e9, 599, None),
    ("none", True, "ntp", 1e9, 599, None),  # the clock was wrong by years and is set now: still ten minutes
    ("none", True, "ntp", 1e9, 600, "token_expired"),
    ("rtc", True, "ntp", 1e9, 599, None),
    ("rtc", True, "rtc", 1, 600, "token_expired"),
    ("ntp", True, "none", -1e9, 599, None),
    ("ntp", True, "none", -1e9, 600, "token_expired"),
    ("ntp", True, "ntp", 1, -1, "token_expired"),  # a start that says it is ours and is not
    ("ntp", False, "ntp", 599, -900, None),
    ("ntp", False, "ntp", 600, -900, "token_expired"),
    ("ntp", False, "ntp", -60, -900, None),
    ("ntp", False, "ntp", -61, -900, "token_early"),
    ("ntp", False, "rtc", 1, -900, "token_clock"),  # after a power cut the clock goes on where it stopped
    ("ntp", False, "none", 1, -900, "token_clock"),
    ("ntp", False, "none", 600, -900, "token_expired"),
    ("rtc", False, "rtc", 1, -900, "token_clock"),
    ("rtc", False, "ntp", 1, -900, "token_clock"),
    ("none", False, "none", 1, -900, "token_clock"),
    ("none", False, "ntp", 1, -900, "token_clock"),
    ("none", False, "ntp", 1e9, -900, "token_clock"),
]


@pytest.mark.parametrize(("issued", "same_start", "read", "wall_s", "monotonic_s", "expected"), CLOCKS)
def test_a_token_lives_as_long_as_a_clock_that_can_be_believed_says(
    issued: ClockQuality, same_start: bool, read: ClockQuality, wall_s: float, monotonic_s: float, expected: str | None
) -> None:
    token = KEY.sign(claims(lifetime_s=600, at=moment(quality=issued)))
    boot = "boot-1" if same_start else "boot-2"
    at = moment(wall_s, quality=read, boot=boot, monotonic_s=1000 + monotonic_s)
    assert fault(token, at=at) == expected


def test_a_time_that_has_certainly_passed_ends_a_token_under_a_clock_that_fell_back() -> None:
    at = moment(1, quality="none", boot="boot-2", monotonic_s=5, floor_ns=NOW_NS + 600 * S)
    assert fault(TOKEN, at=at) == "token_expired"


def test_two_machines_that_tell_no_start_are_not_the_same() -> None:
    token = KEY.sign(claims(at=moment(quality="none", boot="")))
    assert fault(token, at=moment(1, quality="none", boot="")) == "token_clock"


@given(
    issued=st.sampled_from(["none", "rtc", "ntp"]),
    read=st.sampled_from(["none", "rtc"]),
    step_s=st.floats(-1e9, 1e9),
    same_start=st.booleans(),
    age_s=st.floats(600, 1e9),
)
def test_no_setting_of_a_clock_that_is_not_believed_makes_a_dead_token_live(
    issued: ClockQuality, read: ClockQuality, step_s: float, same_start: bool, age_s: float
) -> None:
    token = KEY.sign(claims(lifetime_s=600, at=moment(quality=issued)))
    monotonic_s = 1000 + age_s if same_start else 1
    at = moment(step_s, quality=read, boot="boot-1" if same_start else "boot-2", monotonic_s=monotonic_s)
    assert fault(token, at=at) is not None


@pytest.mark.parametrize("lifetime_ns", [-1, 0, 999_999, MAX_LIFETIME_NS + 1])
def test_a_token_lives_neither_for_ever_nor_for_nothing(lifetime_ns: int) -> None:
    asked = {"token_id": "1", "principal": "user:pi", "routes": "**", "verbs": ("read",), "key": KEY.public}
    with pytest.raises(UsageError, match="a token lives between"):
        claims_of(**asked, lifetime_ns=lifetime_ns, moment=moment())  # type: ignore[arg-type]


@pytest.mark.parametrize("change", [{"principal": "pi"}, {"routes": "pump"}, {"verbs": ()}])
def test_a_token_that_would_mean_nothing_is_not_made(change: dict[str, object]) -> None:
    asked = {"principal": "user:pi", "routes": "pump/**", "verbs": ("read",)} | change
    with pytest.raises(UsageError):
        claims_of(**asked, token_id="1", lifetime_ns=S, moment=moment(), key=KEY.public)  # type: ignore[arg-type]


@pytest.mark.parametrize("pem", [b"", b"\xff", b"secret", KEY.to_pem()[:40]])
def test_what_is_no_key_is_refused_and_not_repeated(pem: bytes) -> None:
    with pytest.raises(UsageError) as caught:
        SigningKey.from_pem(pem)
    assert "secret" not in str(caught.value)


def test_a_key_of_another_kind_is_refused() -> None:
    pem = ec.generate_private_key(ec.SECP256R1()).private_bytes(
        serialization.Encoding.PEM, serialization.PrivateFormat.PKCS8, serialization.NoEncryption()
    )
    with pytest.raises(UsageError, match="another kind"):
        SigningKey.from_pem(pem)
