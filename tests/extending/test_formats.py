"""`docs/extending/formats.md` as its reader follows it, and packages that are broken."""

from __future__ import annotations

from pathlib import Path

import pytest

import neural_fx
from neural_fx.errors import ModelError
from neural_fx.formats import FORMATS, Content, Format, parse
from tests.extending.pages import Installed, Page, install_page, printing_warnings

PAGE = "formats.md"


def test_the_example_works_as_the_page_says(page: Page, installed: Installed, tmp_path: Path) -> None:
    (example,) = page.examples
    done = installed.python(example)
    assert (done.returncode, done.stderr) == (0, "")
    info = installed.command(["info", "bright.json"])
    assert info.returncode == 0, info.stderr
    assert "2 taps" in info.stdout + info.stderr
    (tmp_path / "board.yaml").write_text("board: 1\nslots:\n  - model: bright.json\n")
    (tmp_path / "wrong.json").write_text('{"filter": "x", "rate": 1, "taps": [1.0]}')
    wrong = installed.command(["info", "wrong.json"])
    assert wrong.returncode == 2
    assert "rate: expected a number from 8000 to 192000, found 1" in wrong.stderr
    code = "import neural_fx; print(len(neural_fx.Pedalboard.from_file('board.yaml')))"
    assert installed.python(code).stdout == "1\n"


def test_without_the_package_the_file_is_refused_with_a_list(tmp_path: Path) -> None:
    (tmp_path / "bright.json").write_text('{"filter": "bright", "rate": 48000, "taps": [1.0]}')
    with pytest.raises(ModelError, match=r"none of the known models: pedal, \.nam, GuitarML, RTNeural / AIDA-X, SMC"):
        neural_fx.load(tmp_path / "bright.json")


@pytest.mark.parametrize(
    ("module", "words"),
    [
        ("raise OSError('no such library')", "OSError: no such library"),
        ("import a_module_that_is_not_there", "No module named 'a_module_that_is_not_there'"),
        ("FORMAT = 3", "expected a Format, found int"),
        ("OTHER = 3", "has no attribute 'FORMAT'"),
        (
            "from neural_fx.formats import Format\nFORMAT = Format('.nam', lambda c: False, lambda c: None)",
            "there is another member called '.nam'",
        ),
    ],
)
def test_a_broken_package_is_reported_and_left_out(page: Page, tmp_path: Path, module: str, words: str) -> None:
    broken = install_page(page.changed("filter_format.py", module), tmp_path)
    code = "import json\nfrom neural_fx.formats import FORMATS\nprint(json.dumps(FORMATS.names()))"
    done = broken.python(printing_warnings(code))
    names, *warnings = done.stdout.splitlines()
    assert names == '["pedal", ".nam", "GuitarML", "RTNeural / AIDA-X", "SMC-2019 WaveNet"]'
    (sentence,) = warnings
    assert sentence.startswith("filter-format: its neural_fx.formats entry point 'filter' is left out: ")
    assert words in sentence


def test_a_format_that_raises_when_asked_costs_the_others_nothing(page: Page, tmp_path: Path) -> None:
    module = page.files["filter_format.py"].replace('return content.has_keys("filter", "taps")', "return 1 / 0")
    broken = install_page(page.changed("filter_format.py", module), tmp_path)
    (tmp_path / "x.json").write_text("{}")
    done = broken.command(["info", "x.json"])
    assert done.returncode == 2
    assert "format filter failed to look at a file: ZeroDivisionError" in done.stderr
    assert "none of the known models" in done.stderr
    assert "Traceback" not in done.stderr


def test_a_script_can_add_a_format() -> None:
    """`FORMATS.add`; a name that is taken, and what is no format, are refused."""
    assert ".nam" in FORMATS, "a registry finds its members at the first use"
    with pytest.raises(TypeError, match="expected a Format, found str"):
        FORMATS.add("filter")  # type: ignore[arg-type]
    with pytest.raises(ValueError, match=r"another member called '\.nam'"):
        FORMATS.add(Format(".nam", lambda content: False, lambda content: parse(b"")))
    assert FORMATS[".nam"] is next(format for format in FORMATS if format.suffixes == (".nam",))
    assert len(FORMATS) == len(FORMATS.names())


@pytest.mark.parametrize("data", [b"{", b"\xff\xfe", b"[1,", b'{"a": NaN}'])
def test_content_that_is_no_json_says_why(data: bytes) -> None:
    content = Content(data)
    assert content.json is None
    assert isinstance(content.problem, ModelError)
    assert not content.has_keys("a")
