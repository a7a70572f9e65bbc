"""OSC 1.0 address patterns in linear time and bounded length (a regular expression can be made to take seconds)."""

from __future__ import annotations

LONGEST = 512
MOST_STARS = 16
SPECIAL = frozenset("*?[]{}")


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
    if len(pattern) > LONGEST:
        return False
    patterns, parts = pattern.split("/"), address.split("/")
    return len(patterns) == len(parts) and all(_part(p, a) for p, a in zip(patterns, parts, strict=True))


def _part(pattern: str, text: str) -> bool:
    """One part, by the set of places in the text that the pattern so far can have reached."""
    if pattern.count("*") > MOST_STARS:
        return False
    places, i = {0}, 0
    while i < len(pattern) and places:
        char = pattern[i]
        if char == "*":
            places = set(range(min(places), len(text) + 1))
        elif char == "?":
            places = {p + 1 for p in places if p < len(text)}
        elif char == "[" and "]" in pattern[i:]:
            end = pattern.index("]", i)
            inside = pattern[i + 1 : end]
            places = {p + 1 for p in places if p < len(text) and _in_set(inside, text[p])}
            i = end
        elif char == "{" and "}" in pattern[i:]:
            end = pattern.index("}", i)
            words = pattern[i + 1 : end].split(",")
            places = {p + len(word) for p in places for word in words if text.startswith(word, p)}
            i = end
        else:
            places = {p + 1 for p in places if p < len(text) and text[p] == char}
        i += 1
    return len(text) in places


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
