"""Commands, options and OSC addresses in the documentation exist, and those that exist are documented."""

from __future__ import annotations

import re
import runpy
from pathlib import Path
from typing import Any

import pytest
import typer

from bridge import limits
from bridge.cli import app
from bridge.host import BoardHost, InstrumentHost
from bridge.media import Media
from bridge.osc.tree import Tree
from instruments import DDSP
from neural_fx.boards import SLOTS, Slot
from neural_fx.pedalboard import Pedalboard
from neural_fx.pedals import make_pedal
from tests.docs.markdown import ROOT, blocks, commands, pages

SHOWN = [
    pytest.param(words, id=f"{page.relative_to(ROOT)}: {' '.join(words)[:60]}")
    for page in pages()
    for block in blocks(page)
    for words in commands(block)
]


@pytest.mark.parametrize("words", SHOWN)
def test_commands_in_the_pages_exist_with_their_options(words: list[str]) -> None:
    command: Any = typer.main.get_command(app)
    words = list(words)
    while children := getattr(command, "commands", None):
        name = words.pop(0)
        assert name in children
        command = children[name]
    known = {name for parameter in command.params for name in (*parameter.opts, *parameter.secondary_opts)}
    used = {word.partition("=")[0] for word in words if re.match(r"--?[a-z]", word)}
    assert used <= known | {"--help"}


LINKED = [page for page in [*pages(), *(ROOT / "demos").rglob("README.md"), ROOT / "SECURITY.md"] if page.is_file()]


@pytest.mark.parametrize("page", LINKED, ids=lambda page: str(page.relative_to(ROOT)))
def test_links_lead_somewhere(page: Path) -> None:
    """Links to files; sphinx checks those to headings."""
    text = re.sub(r"^```.*?^```", "", page.read_text(encoding="utf-8"), flags=re.MULTILINE | re.DOTALL)
    for link in re.findall(r"\]\(([^)\s]+)\)", text):
        if not link.startswith(("https://", "#")):
            assert (page.parent / link.partition("#")[0]).exists(), link


def test_every_osc_address_is_in_the_reference() -> None:
    boards = {
        "lead": BoardHost("lead", lambda: Pedalboard([make_pedal("ds-1")])),
        "solo": InstrumentHost("solo", lambda: DDSP("violin")),
    }
    page = (ROOT / "docs/reference/osc.md").read_text(encoding="utf-8")
    included = re.findall(r"^```\{include\} \.\./generated/osc-(\w+)\.md\n```$", page, re.MULTILINE)
    assert sorted(included) == ["boards", "notes", "worker"]
    osc_commands = runpy.run_path(str(ROOT / "docs/generate.py"))["osc_commands"]
    page += osc_commands("worker", "connection", "board", "notes", "any")
    listed = set(re.findall(r"^\| `(/[\w/]+)`", page, re.MULTILINE))
    found = set(Tree(boards, Media()).addresses())
    parameters = {f"/{name}/{place}" for name, board in boards.items() for place in board.table()}
    assert "/lead/ds-1/tone" in parameters & found
    for address in found - parameters - {f"{parameter}/raw" for parameter in parameters}:
        assert re.sub(r"^/(lead|solo)/", "/BOARD/", address) in listed


def test_every_kind_of_slot_is_in_the_reference() -> None:
    page = (ROOT / "docs/reference/boards.md").read_text(encoding="utf-8")
    for kind in SLOTS:
        (row,) = re.findall(rf"^\| `{kind.name}` \| [^|]+ \| ([^|]*)\|", page, re.MULTILINE)
        for field in set(kind.model.model_fields) - set(Slot.model_fields) - {kind.name}:
            assert f"`{field}`" in row


def test_every_limit_is_in_the_reference_with_its_reason() -> None:
    page = runpy.run_path(str(ROOT / "docs" / "generate.py"))["limit_tables"]()
    rows = dict(re.findall(r"^\| `(\w+)` \| [\d,.]+ \| (.*) \|$", page, re.MULTILINE))
    assert set(rows) == {name for name in vars(limits) if name.isupper()}
    assert all(reason.endswith(".") for reason in rows.values())
    assert page.startswith("## Streaming protocol\n")
    assert page.count("\n## ") == len(re.findall(r"^# -- ", Path(limits.__file__).read_text(), re.MULTILINE)) - 1
