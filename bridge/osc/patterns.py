"""OSC 1.0 address patterns with bounded work (a regular expression can be made to take seconds)."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass

from bridge.errors import BridgeError

LONGEST = 512
MOST_STARS = 16
MOST_STEPS = 500_000
"""Comparisons of one search, which take about a tenth of a second. Real patterns on large boards need 20,000."""
SPECIAL = frozenset("*?[]{}")


class PatternError(BridgeError):
    """A pattern that takes too long to compare with all addresses."""


def is_pattern(address: str) -> bool:
    """Whether an address has wildcards."""
    return not SPECIAL.isdisjoint(address)


def matches(pattern: str, address: str) -> bool:
    """Whether an address fits a pattern: ``?`` one character, ``*`` any, ``[a-z]`` ``[!a]`` sets, ``{a,b}`` choices.

    Wildcards do not cross ``/``. Longer than `LONGEST`, or with more than `MOST_STARS` stars in a part: no match.

    >>> matches("/lead/*/gain", "/lead/amp/gain"), matches("/lead/*", "/lead/amp/gain")
    (True, False)
    >>> matches("/{lead,bass}/[a-c]mp/mi?", "/bass/amp/mix")
    True
    """
    return bool(matching(pattern, [address]))


def matching(pattern: str, addresses: Iterable[str]) -> list[str]:
    """Return the addresses that fit a pattern, as `matches` says.

    Raises:
        PatternError: the comparison takes more than `MOST_STEPS`.
    """
    if len(pattern) > LONGEST:
        return []
    search = _Search([_tokens(part) for part in pattern.split("/")])
    return [address for address in addresses if search.fits(address)]


@dataclass(frozen=True)
class _Token:
    """A piece of a part of a pattern.

    Attributes:
        kind: ``*`` for any text, ``?`` for any character, ``[`` for a set, ``{`` for choices.
        words: the choices; a character that stands for itself is the only one.
        inside: of a set.
    """

    kind: str
    words: tuple[str, ...] = ()
    inside: str = ""


def _tokens(part: str) -> list[_Token] | None:
    """Return the pieces of a part, or None for one that matches nothing."""
    if part.count("*") > MOST_STARS:
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
    """A comparison of one pattern with many addresses, whose parts are mostly the same few texts."""

    def __init__(self, parts: list[list[_Token] | None]) -> None:
        self._parts = parts
        self._known: dict[tuple[int, str], bool] = {}
        self._steps = 0

    def fits(self, address: str) -> bool:
        """Return whether an address fits.

        Raises:
            PatternError: this and the addresses before it took more than `MOST_STEPS`.
        """
        texts = address.split("/")
        return len(texts) == len(self._parts) and all(self._part_fits(i, text) for i, text in enumerate(texts))

    def _part_fits(self, index: int, text: str) -> bool:
        key = index, text
        if key not in self._known:
            self._known[key] = self._compared(self._parts[index], text)
        return self._known[key]

    def _compared(self, tokens: list[_Token] | None, text: str) -> bool:
        """Compare by the set of places in the text that the pattern so far can have reached."""
        if tokens is None:
            return False
        places = {0}
        for token in tokens:
            self._steps += len(places) * max(len(token.words), len(token.inside), 1)
            if self._steps > MOST_STEPS:
                raise PatternError("takes too long to compare with all addresses; use a simpler pattern")
            places = _reached(token, text, places)
            if not places:
                return False
        return len(text) in places


def _reached(token: _Token, text: str, places: set[int]) -> set[int]:
    """Return the places in a text after a token that begins at one of some places."""
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
