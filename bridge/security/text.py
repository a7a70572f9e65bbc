"""Clean text from the network for a terminal or a log."""

from __future__ import annotations

import contextlib
import re
import unicodedata
from collections.abc import Callable

from bridge import limits

_ESCAPES = re.compile(
    r"(?:\x1b\[|\x9b)[0-?]{0,64}[ -/]{0,8}[@-~]?|(?:\x1b\]|\x9d)[^\x07\x1b\x9c]{0,256}(?:\x07|\x1b\\|\x9c)?"
)
_SPACES = frozenset("\t\n\v\f\r\x85\u2028\u2029")
_HIDDEN = frozenset({"Cc", "Cf", "Cs", "Co", "Cn"})


def clean(text: object, longest: int = limits.LOG_LINE_CHARACTERS) -> str:
    r"""Return text from the network as one line that a terminal or a log can show.

    Removes terminal escape sequences, control characters, invisible characters and those that change the direction of
    writing. Line breaks become spaces.

    >>> clean("a\x1b[31mb\r\nc\u202ed")
    'ab cd'
    """
    line = _ESCAPES.sub("", str(text)[: 4 * longest])
    line = "".join(
        " " if char in _SPACES else char
        for char in line
        if char in _SPACES or unicodedata.category(char) not in _HIDDEN
    )
    line = " ".join(line.split())
    return line if len(line) <= longest else line[: longest - 3] + "..."


def cleaned(log: Callable[[str], None]) -> Callable[[str], None]:
    """Return a log that shows only `clean` text, and that never raises."""

    def write(sentence: str) -> None:
        with contextlib.suppress(Exception):  # a closed terminal must not end the thread that reports
            log(clean(sentence))

    return write
