"""`docs/extending/commands.md` as its reader follows it: OSC, OSCQuery, the table in the documentation."""

from __future__ import annotations

from pathlib import Path

import pytest

from bridge.commands import COMMANDS, Command
from tests.extending.pages import Installed, Page, install_page

PAGE = "commands.md"

ROOT = Path(__file__).parents[2]

WORKER = """
from pathlib import Path
from bridge.osc.packets import decode, encode
from bridge.worker import Options, Worker

worker = Worker(Options({"lead": Path("echo.yaml")}, osc_port=0, stream_port=0, oscquery_port=0, announce=False))
try:
    node = worker.query.node("/lead/tempo")
    assert (node["TYPE"], node["ACCESS"], node["RANGE"]) == ("f", 2, [{"MIN": 40, "MAX": 300}]), node
    assert node["DESCRIPTION"].startswith("sets every delay"), node
    replies = []
    for value in (240.0, 20.0, "fast"):
        for message in decode(encode("/*/tempo", value)):
            worker.tree.handle(message, lambda *reply: replies.append(reply))
    print(replies)
finally:
    worker.close()
"""

GENERATE = f"""
import runpy
print(runpy.run_path({str(ROOT / "docs" / "generate.py")!r})["osc_commands"]("board", "any"))
"""


def test_the_example_works_as_the_page_says(page: Page, installed: Installed) -> None:
    (example,) = page.examples
    done = installed.python(example)
    assert (done.returncode, done.stderr) == (0, "")
    assert page.commands == ["neural-fx serve --board lead=echo.yaml"]


def test_a_worker_has_the_command_with_its_range(installed: Installed) -> None:
    done = installed.python(WORKER)
    assert done.returncode == 0, done.stderr
    assert "('/lead/tempo', 0.25)" in done.stdout
    assert "beats a minute: 20 is outside 40 to 300" in done.stdout
    assert "beats a minute: expected a number, found 'fast'" in done.stdout


def test_the_command_is_in_the_table_of_the_documentation(installed: Installed) -> None:
    done = installed.python(GENERATE)
    assert done.returncode == 0, done.stderr
    row = "| `/BOARD/tempo` | beats a minute (40 to 300) | sets every delay of the board to one beat; answers with"
    assert row in done.stdout
    assert "| `/BOARD/slots/move` | slot, position (1 to 64) |" in done.stdout


def test_names_of_new_commands_are_reserved(page: Page, tmp_path: Path) -> None:
    module = page.files["tempo_command.py"].replace("/BOARD/tempo", "/tempo").replace('"board"', '"worker"')
    broken = install_page(page.changed("tempo_command.py", module), tmp_path)
    done = broken.command(["serve", "--board", "tempo=echo.yaml"])
    assert done.returncode == 2
    assert "name 'tempo'" in done.stderr


@pytest.mark.parametrize(
    ("module", "words"),
    [
        ("TEMPO = 3", "expected a Command, found int"),
        (
            "from bridge.commands import Command\nTEMPO = Command('/BOARD/mix', '', print, scope='any')",
            "every board has parameters at /BOARD/mix",
        ),
        (
            "from bridge.commands import Command\nTEMPO = Command('/ping', '', print)",
            "there is another member called '/ping'",
        ),
    ],
)
def test_a_broken_package_is_left_out(page: Page, tmp_path: Path, module: str, words: str) -> None:
    broken = install_page(page.changed("tempo_command.py", module), tmp_path)
    code = "from bridge.commands import COMMANDS; print('/ping' in COMMANDS, '/BOARD/tempo' in COMMANDS)"
    done = broken.python(code)
    assert done.stdout == "True False\n"
    assert "tempo-command: its neural_fx.commands entry point 'tempo' is left out" in done.stderr
    assert words in done.stderr


def test_a_script_can_add_a_command() -> None:
    assert "/ping" in COMMANDS, "a registry finds its members at the first use"
    with pytest.raises(TypeError, match="expected a Command, found str"):
        COMMANDS.add("/tempo")  # type: ignore[arg-type]
    with pytest.raises(ValueError, match="another member called '/ping'"):
        COMMANDS.add(Command("/ping", "", lambda call: None))
