"""Take code out of Markdown pages.

A comment before a block marks it: `<!-- run -->` for code that the tests run, `<!-- file: NAME -->` for a file that the
reader is asked to save.
"""

from __future__ import annotations

import re
import shlex
from dataclasses import dataclass
from pathlib import Path

ROOT = Path(__file__).parents[2]
_BLOCK = re.compile(
    r"(?:^<!-- (?P<mark>run|file: (?P<name>[\w./-]+)) -->\n\n?)?^```(?P<language>\w*)\n(?P<text>.*?)^```$",
    re.MULTILINE | re.DOTALL,
)


@dataclass(frozen=True)
class Block:
    """A block of code.

    Attributes:
        language: as the fence says it.
        text: the lines between the fences.
        runs: whether it is marked to run.
        name: of the file that it is; empty for other blocks.
    """

    language: str
    text: str
    runs: bool
    name: str


def blocks(page: Path) -> list[Block]:
    """Return the blocks of a page in their order."""
    return [
        Block(found["language"], found["text"], found["mark"] == "run", found["name"] or "")
        for found in _BLOCK.finditer(page.read_text(encoding="utf-8"))
    ]


def commands(block: Block) -> list[list[str]]:
    """Return the arguments of each `neural-fx` command in a block of shell commands."""
    if block.language != "sh":
        return []
    found = []
    for line in block.text.splitlines():
        for part in line.split("&&"):
            words = shlex.split(part, comments=True)
            if words[:1] == ["neural-fx"]:
                found.append(words[1:])
    return found


def pages() -> list[Path]:
    """Return the pages that people read, without those of other packages and generated ones."""
    written = [page for page in (ROOT / "docs").rglob("*.md") if "generated" not in page.parts]
    return [ROOT / "README.md", ROOT / "CONTRIBUTING.md", *sorted(written)]
