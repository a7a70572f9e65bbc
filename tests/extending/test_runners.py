"""`docs/extending/runners.md` as its reader follows it: command line and Python, crashes, interruptions."""

from __future__ import annotations

import json
import os
import signal
import subprocess
import sys
import time
from functools import partial
from pathlib import Path

import numpy as np
import pytest
import soundfile

from neural_fx import Pedalboard
from neural_fx.render import plan, render_all
from tests.conftest import noise
from tests.extending.pages import Page, command, install, python, read_page

BOARD = "board: 1\nslots:\n  - pedal: klon-gain-stage\n  - plugin: Reverb\n"

CRASHES = """
import os
from neural_fx import Pedalboard, Processor

class Crash(Processor):
    def process_block(self, block):
        if block.max() > 0.9:
            os._exit(1)
        return block

def make_board():
    return Pedalboard([Crash()])
"""

CRASHING = """
import json
from crashes import make_board
from neural_fx.render import plan, render_all

if __name__ == "__main__":
    reports = render_all(plan(["stems"], "out"), make_board, jobs=2, runner="fresh")
    print(json.dumps([report.error for report in reports]))
"""


@pytest.fixture(scope="module")
def page() -> Page:
    return read_page("runners.md")


@pytest.fixture
def packages(page: Page, tmp_path: Path) -> Path:
    """Install the example, with a board and two stems where it is used."""
    install(page, tmp_path / "packages")
    (tmp_path / "board.yaml").write_text(BOARD)
    (tmp_path / "stems").mkdir()
    for seed, name in enumerate(("a.wav", "b.flac")):
        soundfile.write(tmp_path / "stems" / name, noise(70000, 2, seed=seed).T, 48000, subtype="PCM_16")
    return tmp_path / "packages"


def contents(folder: Path) -> dict[str, bytes]:
    return {path.name: path.read_bytes() for path in sorted(folder.iterdir())}


def test_the_example_writes_the_bytes_of_the_built_in_runners(
    page: Page, packages: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    (line,) = page.commands
    (example,) = page.examples
    _, *arguments = line.split()
    told = command([*arguments, "--json"], packages, tmp_path)
    assert told.returncode == 0, told.stderr
    files = json.loads(told.stdout)["files"]
    assert [file["input"] for file in files] == ["stems/a.wav", "stems/b.flac"]
    done = python(example, packages, tmp_path)
    assert (done.returncode, done.stderr) == (0, "")
    expected = contents(tmp_path / "out")
    assert list(expected) == ["a.wav", "b.flac"]
    assert contents(tmp_path / "out-python") == expected
    monkeypatch.chdir(tmp_path)
    for runner in ("here", "processes"):
        render_all(plan(["stems"], runner), partial(Pedalboard.from_file, "board.yaml"), jobs=2, runner=runner)
        assert contents(tmp_path / runner) == expected, runner


def test_a_bad_file_does_not_stop_the_others(packages: Path, tmp_path: Path) -> None:
    (tmp_path / "stems" / "a.wav").write_bytes(b"")
    told = command(
        ["render", "stems", "--board", "board.yaml", "-o", "out", "--runner", "fresh", "--json"], packages, tmp_path
    )
    assert told.returncode == 2
    first, second = json.loads(told.stdout)["files"]
    assert "empty file" in first["error"]
    assert second["error"] is None
    assert list(contents(tmp_path / "out")) == ["b.flac"]


def test_a_crash_loses_one_file(packages: Path, tmp_path: Path) -> None:
    (packages / "crashes.py").write_text(CRASHES)
    for name, peak in (("a.wav", 0.5), ("b.wav", 1.0), ("c.wav", 0.5)):
        soundfile.write(tmp_path / "stems" / name, np.full(70000, peak), 48000, subtype="FLOAT")
    (tmp_path / "stems" / "b.flac").unlink()
    done = python(CRASHING, packages, tmp_path)
    assert done.returncode == 0, done.stderr
    errors = json.loads(done.stdout)
    assert errors == [
        None,
        "stems/b.wav: the process that rendered it died; there may be too little memory",
        None,
    ]
    assert list(contents(tmp_path / "out")) == ["a.wav", "c.wav"]


def test_an_unknown_runner_is_named_with_those_of_the_package(packages: Path, tmp_path: Path) -> None:
    told = command(["render", "stems", "--board", "none.yaml", "-o", "out", "--runner", "frseh"], packages, tmp_path)
    assert told.returncode == 2
    assert "unknown runner 'frseh' (did you mean 'fresh'?); known: auto, here, processes, fresh" in told.stderr


@pytest.mark.parametrize(("number", "status"), [(signal.SIGINT, 130), (signal.SIGHUP, 129)])
def test_an_interruption_leaves_no_partial_file(
    packages: Path, tmp_path: Path, number: signal.Signals, status: int
) -> None:
    """The whole process group gets the signal, as from a terminal."""
    for name in ("a.wav", "b.flac"):
        with soundfile.SoundFile(tmp_path / "stems" / name, "w", 8000, 1, "PCM_16") as file:
            for _ in range(60):
                file.write(np.zeros(60 * 8000, np.float32))
    code = (
        "import sys; sys.argv = ['neural-fx', 'render', 'stems', '--board', 'board.yaml', '-o', 'out', '--jobs', '2', "
        "'--runner', 'fresh']; from bridge.cli import main; main()"
    )
    root = Path(__file__).parents[2]
    process = subprocess.Popen(
        [sys.executable, "-c", code],
        cwd=tmp_path,
        text=True,
        stderr=subprocess.PIPE,
        start_new_session=True,
        env={**os.environ, "PYTHONPATH": os.pathsep.join((str(packages), str(root)))},
    )
    out = tmp_path / "out"
    limit = time.monotonic() + 120
    while not out.is_dir() or len(list(out.iterdir())) < 2:
        assert process.poll() is None, process.communicate()
        assert time.monotonic() < limit
        time.sleep(0.02)
    os.killpg(process.pid, number)
    _, err = process.communicate(timeout=60)
    assert process.returncode == status
    assert "Traceback" not in err
    assert list(out.iterdir()) == []
