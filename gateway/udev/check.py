"""Layer 2: everything that is wrong with a rules file, at once, each with the next step.

What udev refuses, ignores or takes otherwise than written is an error; what it obeys and hardly anybody means is a
warning.
"""

from __future__ import annotations

import re
from collections.abc import Collection, Iterator
from pathlib import PurePath
from typing import Final, NamedTuple

from gateway.errors import Problem
from gateway.spelling import did_you_mean
from gateway.udev import keys
from gateway.udev.grammar import Rule, Token, read_rules

MAX_PROBLEMS: Final = 500
_ASSIGNING: Final = frozenset({"=", "+=", "-=", ":="})
_SUBSTITUTION: Final = re.compile(r"%(%|.?)|\$(\$|[a-z]*)", re.DOTALL)
_OCTAL: Final = re.compile(r"[0-7]{1,5}")
_GLOB: Final = re.compile(r"[*?\[|]")
_SEAT_RULES: Final = "73-seat-late.rules"  # acts on the tag uaccess; files behind it tag too late


class Checked(NamedTuple):
    """What a check found."""

    rules: int
    problems: list[Problem]  # in order of lines; at most MAX_PROBLEMS and one that says so


def check_rules(
    file: str, data: bytes, groups: Collection[str] | None = None, users: Collection[str] | None = None
) -> Checked:
    """Return everything wrong with the rules in `data`. Never raises.

    `groups` and `users` are those of the machine the rules are for; None: any name will do.
    """
    rules, problems = read_rules(file, data)
    name = PurePath(file).name
    if not name.endswith(".rules"):
        problems.append(Problem(file, 1, "", f"udev reads only files that end in .rules; rename it: {name}.rules"))
    for rule in rules:
        for token in rule.tokens:
            found = [*_about_key(token), *_about_value(token, groups, users)]
            problems += [Problem(file, token.line, token.name, message) for message in found]
            if _sets(token, "TAG") and token.value == "uaccess" and name > _SEAT_RULES:
                message = f"comes too late: {_SEAT_RULES} acts on it; give the file a number below 73"
                problems.append(Problem(file, token.line, token.name, message))
        problems += _about_rule(file, rule)
    problems += _about_jumps(file, rules)
    problems += _about_reach(file, rules)
    problems.sort(key=lambda problem: problem.line)
    if len(problems) > MAX_PROBLEMS:
        rest = len(problems) - MAX_PROBLEMS
        last = problems[MAX_PROBLEMS - 1].line
        problems[MAX_PROBLEMS:] = [Problem(file, last, "", f"and {rest:,} more; is this a rules file at all?")]
    return Checked(len(rules), problems)


def _about_key(token: Token) -> Iterator[str]:
    known = keys.KEYS.get(token.key)
    if known is None:
        if token.key in keys.GONE:
            yield f"{token.key} is gone from udev; write {keys.GONE[token.key]}"
        else:
            yield f"unknown key {token.key!r}{did_you_mean(token.key, keys.KEYS)}"
        return
    if known.braces == "none" and token.attribute is not None:
        yield f"{token.key} takes nothing in braces; did you mean {token.key}{token.operator}?"
    elif known.braces == "needed" and not token.attribute:
        yield f"{token.key} needs a name in braces: {token.key}{{name}}"
    elif known.choices and token.attribute is not None and token.attribute not in known.choices:
        yield f"{token.key}{{{token.attribute}}} does not exist; one of {', '.join(known.choices)}"
    if token.operator not in known.operators:
        yield _wrong_operator(token, known)


def _wrong_operator(token: Token, known: keys.Key) -> str:
    allowed = known.operators
    if token.operator in _ASSIGNING and not set(allowed) & _ASSIGNING:
        return f"{token.key} is only compared, never assigned; write {token.name}=="
    if token.operator not in _ASSIGNING and set(allowed) <= _ASSIGNING:
        return f"{token.key} is only assigned, never compared; write {token.name}{allowed[0]}"
    return f"{token.operator} is not for {token.key}; one of {' '.join(allowed)}"


def _about_value(token: Token, groups: Collection[str] | None, users: Collection[str] | None) -> Iterator[str]:
    is_assigned = token.operator in _ASSIGNING
    if is_assigned and token.key in keys.TAKES_SUBSTITUTIONS:
        yield from _about_substitutions(token.value)
    has_substitution = bool(_SUBSTITUTION.search(token.value))
    match token.key:
        case "MODE" if not has_substitution and not _is_mode(token.value):
            yield f"{token.value!r} is no octal mode; write for example 0660"
        case "TEST" if token.attribute and not _is_mode(token.attribute):
            yield f"{{{token.attribute}}} is no octal mask of a mode; write for example TEST{{0111}}"
        case "GROUP" if not has_substitution:
            yield from _about_owner(token.value, groups, "group", "sudo groupadd --system")
        case "OWNER" if not has_substitution:
            yield from _about_owner(token.value, users, "user", "sudo useradd --system")
        case "SYMLINK" | "NAME" if is_assigned:
            yield from _about_name(token)
        case "ENV" if is_assigned and token.attribute in keys.KERNEL_FACTS:
            yield f"{token.attribute} comes from the kernel and cannot be assigned; take a name of your own"
        case "OPTIONS":
            yield from _about_option(token.value)
        case "RUN" | "IMPORT" if token.attribute == "builtin":
            name = token.value.split()[0] if token.value.split() else ""
            if name not in keys.BUILTINS:
                yield f"udev has no builtin {name!r}{did_you_mean(name, sorted(keys.BUILTINS))}"
        case "RUN" | "PROGRAM" if not token.value.strip() and token.operator != "=":
            yield "names no program"
        case "GOTO" | "LABEL" | "TAG" if not token.value:
            yield "an empty name"
        case "ATTRS" if token.attribute and token.attribute.startswith("../"):
            yield "looks at all parents by itself; leave out the '../'"


def _about_substitutions(value: str) -> Iterator[str]:
    for found in _SUBSTITUTION.finditer(value):
        letter, word = found[1], found[2]
        if "%" in (letter, None) and letter is not None:
            continue
        if word == "$":
            continue
        behind = value[found.end() : found.end() + 1]
        if letter is not None:
            known, name, doubled = letter in keys.LETTERS, letter, "%%"
        else:
            name = next((each for each in sorted(keys.SUBSTITUTIONS, key=len)[::-1] if word.startswith(each)), word)
            known, doubled = name in keys.SUBSTITUTIONS, "$$"
            behind = behind if name == word else ""
        if not known:
            shown = f"{found[0][0]}{name}"
            hint = did_you_mean(name, keys.SUBSTITUTIONS) if letter is None and name else ""
            yield f"{shown!r} is no substitution{hint}; write {doubled} for the sign itself"
        elif name in keys.NEED_BRACES and behind != "{":
            yield f"'{found[0][0]}{name}' needs a name in braces: {found[0][0]}{name}{{name}}"
        elif behind == "{" and "}" not in value[found.end() :]:
            yield f"the brace behind '{found[0][0]}{name}' is never closed"


def _is_mode(text: str) -> bool:
    return bool(_OCTAL.fullmatch(text)) and int(text, 8) <= 0o7777


def _about_owner(name: str, known: Collection[str] | None, kind: str, command: str) -> Iterator[str]:
    if name.isdecimal():
        return
    if not name:
        yield f"an empty name is no {kind}"
    elif known is not None and name not in known:
        near = did_you_mean(name, [each for each in known if abs(len(each) - len(name)) < 3])
        hint = near if near.startswith("; did you mean") else ""
        yield f"there is no {kind} {name!r} on this machine, so udev ignores it{hint or f'; {command} {name}'}"


def _about_name(token: Token) -> Iterator[str]:
    for name in token.value.split() or [""]:
        if not name and token.operator != "=":
            yield "an empty name"
        elif name.startswith("/dev/"):
            yield f"names are relative to /dev; write {name.removeprefix('/dev/')!r}"
        elif name.startswith("/"):
            yield f"names are relative to /dev; {name!r} is not"
        elif ".." in name.split("/"):
            yield f"{name!r} leads out of /dev"


def _about_option(value: str) -> Iterator[str]:
    name, equals, given = value.partition("=")
    if not equals and name in keys.OPTIONS:
        return
    if not equals or name not in keys.OPTIONS_WITH:
        yield f"unknown option {value!r}{did_you_mean(name, sorted({*keys.OPTIONS, *keys.OPTIONS_WITH}))}"
        return
    choices = keys.OPTIONS_WITH[name]
    if choices is None:
        try:
            int(given)
        except ValueError:
            yield f"{name} is a whole number; {given!r} is none"
    elif not given or (choices and given not in choices):
        yield f"{name}={given} says nothing; one of {', '.join(choices)}" if choices else f"{name} is empty"


def _about_rule(file: str, rule: Rule) -> Iterator[Problem]:
    """Give what shows only when the tokens of one rule are seen together."""
    seen: dict[tuple[str, str | None], Token] = {}
    for token in rule.tokens:
        if token.operator != "==" or token.key not in keys.COMPARED_ONCE:
            continue
        before = seen.setdefault((token.key, token.attribute), token)
        if before is token:
            continue
        if before.value == token.value:
            yield Problem(file, token.line, token.name, "the same comparison twice", "warning")
        elif not _GLOB.search(before.value) and not _GLOB.search(token.value):
            either = f'write {token.name}=="{before.value}|{token.value}"'
            message = f"cannot be {before.value!r} and {token.value!r} at once, so the rule never acts; {either}"
            yield Problem(file, token.line, token.name, message)
    for key in ("GOTO", "LABEL"):
        if sum(token.key == key for token in rule.tokens) > 1:
            yield Problem(file, rule.line, key, f"only one {key} in a rule")


def _about_jumps(file: str, rules: list[Rule]) -> Iterator[Problem]:
    labels: dict[str, int] = {}
    wanted: set[str] = set()
    places = [(place, token) for place, rule in enumerate(rules) for token in rule.tokens]
    for place, token in places:
        if token.key == "LABEL" and token.value:
            if token.value in labels:
                yield Problem(file, token.line, "LABEL", f"{token.value!r} stands twice; a jump finds only one of them")
            labels[token.value] = max(place, labels.get(token.value, 0))
    for place, token in places:
        if token.key != "GOTO" or not token.value:
            continue
        wanted.add(token.value)
        if token.value not in labels:
            near = did_you_mean(token.value, labels)
            yield Problem(file, token.line, "GOTO", f'no LABEL="{token.value}" in this file{near}')
        elif labels[token.value] < place:
            yield Problem(file, token.line, "GOTO", f'LABEL="{token.value}" stands above; udev only jumps forward')
    for _, token in places:
        if token.key == "LABEL" and token.value and token.value not in wanted:
            yield Problem(file, token.line, "LABEL", f'no GOTO="{token.value}" in this file', "warning")


def _about_reach(file: str, rules: list[Rule]) -> Iterator[Problem]:
    """Give rules that act on every device of the machine. Behind a GOTO, the jump may have kept others out."""
    for rule in rules:
        if any(token.key == "GOTO" for token in rule.tokens):
            return
        is_compared = any(token.operator in {"==", "!="} or token.key in {"PROGRAM", "IMPORT"} for token in rule.tokens)
        assigned = [token for token in rule.tokens if token.key in keys.KEYS and keys.KEYS[token.key].is_assigned]
        if assigned and not is_compared:
            message = 'compares nothing, so it acts on every device; begin with SUBSYSTEM=="tty" or the like'
            yield Problem(file, rule.line, assigned[0].name, message)


def _sets(token: Token, key: str) -> bool:
    return token.key == key and token.operator in _ASSIGNING
