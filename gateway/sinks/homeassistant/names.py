"""Layer 7: names that Home Assistant takes, and words as its templates give them back. Pure."""

from __future__ import annotations

import re
from collections.abc import Iterable
from hashlib import sha256
from typing import Any, Final

import msgspec

from gateway.api.follow.values import json_bytes

_FOREIGN: Final = re.compile(r"[^a-zA-Z0-9_-]")


def plain(name: str) -> str:
    """Return a name in letters, digits, `_` and `-`; one that had to be changed keeps apart from others by a digest."""
    text = _FOREIGN.sub("-", name)
    return text if text == name else f"{text}-{_digest(name)}"


def object_id(gateway: str, device: str) -> str:
    """Return what names a device of a gateway in a topic."""
    return f"{plain(gateway)}_{device}"


def unique(*parts: str) -> str:
    """Return parts joined by `_`; where another cut of the text could mean other parts, with a digest of them."""
    text = "_".join(map(plain, parts))
    return text if text.count("_") == len(parts) - 1 else f"{text}_{_digest('/'.join(parts))}"


def titled(*words: str) -> str:
    """Return segments of a route as people read them."""
    return " ".join(words).replace("_", " ").strip().capitalize()


class Words:
    """Labels as they stand in Home Assistant: it cuts off blanks, and takes the word "none" for no value at all."""

    def __init__(self, labels: Iterable[str]) -> None:
        """Take labels, each once."""
        self.shown: dict[str, str] = {}  # by label
        for label in labels:
            text = label.strip() or "blank"
            word = base = f"({text})" if text.lower() == "none" or not label.strip() else text
            number = 1
            while word in self.shown.values():
                number += 1
                word = f"{base} ({number})"
            self.shown[label] = word
        self._odd = {label: word for label, word in self.shown.items() if word != label}

    @property
    def options(self) -> list[str]:
        """Return what a user chooses from."""
        return list(self.shown.values())

    def read(self) -> str:
        """Return the expression that makes a user's word of a value's label."""
        return f"{literal(self._odd)}.get(value_json.v, value_json.v)" if self._odd else "value_json.v"

    def written(self) -> str:
        """Return the template that makes a command's payload of a user's word: always JSON text."""
        back = {word: label for label, word in self._odd.items()}
        return f"{{{{ {literal(back)}.get(value, value) | tojson }}}}" if back else "{{ value | tojson }}"


def literal(value: Any) -> str:
    """Return a value as a template spells it: as JSON does, without anything that could end the template."""
    text = json_bytes(value).decode()
    return text.replace("{", "\\u007b").replace("}", "\\u007d") if isinstance(value, str) else _spelled(value)


def _spelled(value: Any) -> str:
    if isinstance(value, dict):
        return "{" + ", ".join(f"{literal(key)}: {literal(item)}" for key, item in value.items()) + "}"
    return msgspec.json.encode(value).decode()


def _digest(text: str) -> str:
    return sha256(text.encode()).hexdigest()[:8]
