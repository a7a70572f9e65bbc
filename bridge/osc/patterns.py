"""Match OSC 1.0 address patterns with bounded work. A hostile regular expression could take seconds."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass

from bridge import limits
from bridge.errors import BridgeError

SPECIAL = frozenset("*?[]{}")


class PatternError(BridgeError):
    """A pattern that takes too long to compare with all addresses."""


def is_pattern(address: str) -> bool:
    """Return whether an address has wildcards."""
    return not SPECIAL.isdisjoint(address)


def matches(pattern: str, address: str) -> bool:
    """Return whether an address matches a pattern.

    ``?`` is one character, ``*`` any text, ``[a-z]`` and ``[!a]`` are sets, and ``{a,b}`` are choices. Wildcards do not
    cross ``/``. A pattern that is too long, or has too many stars in a part, matches nothing (`bridge.limits`).

    Args:
        pattern: the pattern.
        address: the address.

    >>> matches("/lead/*/gain", "/lead/amp/gain"), matches("/lead/*", "/lead/amp/gain")
    (True, False)
    >>> matches("/{lead,bass}/[a-c]mp/mi?", "/bass/amp/mix")
    True
    """
    return bool(matching(pattern, [address]))


def matching(pattern: str, addresses: Iterable[str]) -> list[str]:
    """Return the addresses that match a pattern; see `matches`.

    Args:
        pattern: the pattern.
        addresses: addresses to compare.

    Raises:
        PatternError: the search takes more than `limits.OSC_PATTERN_STEPS` comparisons.
    """
    if len(pattern) > limits.OSC_PATTERN_CHARACTERS:
        return []
    search = _Search([_tokens(part) for part in pattern.split("/")])
    return [address for address in addresses if search.fits(address)]


@dataclass(frozen=True)
class _Token:
    """A piece of a part of a pattern.

    Attributes:
        kind: ``*`` for any text, ``?`` for any character, ``[`` for a set, ``{`` for choices.
        words: the choices. A plain character is a choice of one.
        inside: text between the brackets of a set.
    """

    kind: str
    words: tuple[str, ...] = ()
    inside: str = ""


def _tokens(part: str) -> list[_Token] | None:
    """Split a part of a pattern into pieces. Return None for a part that matches nothing."""
    if part.count("*") > limits.OSC_PATTERN_STARS:
        return None
    found, i = [], 0
    while i < len(part):
        char, end = part[i], -1
        if char in "*?":
            found.append(_Token(char))
        elif char == "[" and (end := part.find("]", i)) > 0:
            found.append(_Token("[", inside=part[i + 1 : end]))
        elif char == "{" and (end := part.find("}", i)) > 0:
            found.append(_Token("{", tuple(dict.fromkeys(part[i + 1 : end].split(",")))))
        else:
            found.append(_Token("{", (char,)))
        i = max(i, end) + 1
    return found


class _Search:
    """A search for one pattern in many addresses. Results are cached, because addresses share many parts."""

    def __init__(self, parts: list[list[_Token] | None]) -> None:
        self._parts = parts
        self._known: dict[tuple[int, str], bool] = {}
        self._steps = 0

    def fits(self, address: str) -> bool:
        """Return whether an address matches.

        Raises:
            PatternError: this address and those before it took more than `limits.OSC_PATTERN_STEPS` comparisons.
        """
        texts = address.split("/")
        return len(texts) == len(self._parts) and all(self._part_fits(i, text) for i, text in enumerate(texts))

    def _part_fits(self, index: int, text: str) -> bool:
        key = index, text
        if key not in self._known:
            self._known[key] = self._compared(self._parts[index], text)
        return self._known[key]

    def _compared(self, tokens: list[_Token] | None, text: str) -> bool:
        """Return whether a text matches. Keeps the set of positions that the pattern can have reached so far."""
        if tokens is None:
            return False
        places = {0}
        for token in tokens:
            self._steps += len(places) * max(len(token.words), len(token.inside), 1)
            if self._steps > limits.OSC_PATTERN_STEPS:
                raise PatternError("takes too long to compare with all addresses; use a simpler pattern")
            places = _reached(token, text, places)
            if not places:
                return False
        return len(text) in places


def _reached(token: _Token, text: str, places: set[int]) -> set[int]:
    """Return the positions in a text after a token.

    Args:
        token: the token.
        text: the text.
        places: positions at which the token may begin.
    """
    if token.kind == "*":
        return set(range(min(places), len(text) + 1))
    if token.kind == "?":
        return {p + 1 for p in places if p < len(text)}
    if token.kind == "[":
        return {p + 1 for p in places if p < len(text) and _in_set(token.inside, text[p])}
    return {p + len(word) for p in places for word in token.words if text.startswith(word, p)}


def _in_set(inside: str, char: str) -> bool:
    negated = inside.startswith("!")
    inside, i, found = inside[negated:], 0, False
    while i < len(inside):
        if i + 2 < len(inside) and inside[i + 1] == "-":
            found |= inside[i] <= char <= inside[i + 2]
            i += 3
        else:
            found |= inside[i] == char
            i += 1
    return found != negated
