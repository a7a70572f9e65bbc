"""The README's examples and the quick starts, run as their readers run them."""

from __future__ import annotations

import json
import os
import re
import signal
import subprocess
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import numpy as np
import pytest
import soundfile

from bridge.protocol import PORT
from tests.conftest import noise, wavenet_document
from tests.docs.markdown import ROOT, blocks, commands
from tests.extending.pages import command, python

BOARD = "board: 1\nslots:\n  - pedal: tube-screamer\n    name: ts\n"


@pytest.fixture
def work(tmp_path: Path) -> Path:
    """A folder with the recordings and models that the examples name."""
    times = np.arange(24000) / 48000
    voice = (0.2 * np.sin(2 * np.pi * 220 * times)).astype(np.float32)
    (tmp_path / "stems").mkdir()
    for name in ("stem.wav", "di.wav", "stems/a.wav", "stems/b.wav", "voice.wav"):
        soundfile.write(tmp_path / name, voice, 48000)
    for name in ("cab.wav", "cab.flac"):
        soundfile.write(tmp_path / name, noise(480), 48000)
    (tmp_path / "jcm.nam").write_text(json.dumps(wavenet_document()))
    (tmp_path / "lead.yaml").write_text(BOARD)
    return tmp_path


@contextmanager
def serving(arguments: list[str], work: Path) -> Iterator[int]:
    """Run `neural-fx serve` on free ports; the port of its streams."""
    free = ["--stream-port", "0", "--osc-port", "0", "--oscquery-port", "0", "--no-announce", "--plain"]
    code = f"import sys; sys.argv = {['neural-fx', *arguments, *free]!r}; from bridge.cli import main; main()"
    worker = subprocess.Popen(
        [sys.executable, "-c", code],
        cwd=work,
        stderr=subprocess.PIPE,
        text=True,
        env={**os.environ, "PYTHONPATH": str(ROOT), "COLUMNS": "200"},
    )
    try:
        assert worker.stderr is not None
        found = (re.search(r"audio on 127\.0\.0\.1:(\d+)", line) for line in worker.stderr)
        started = next((match for match in found if match), None)
        assert started is not None, "the worker ended"
        yield int(started[1])
    finally:
        worker.send_signal(signal.SIGTERM)
        try:
            worker.communicate(timeout=60)
        except subprocess.TimeoutExpired:
            worker.kill()
            worker.communicate()


def run(arguments: list[str], work: Path) -> str:
    """Run `neural-fx` with arguments, and return what it prints."""
    done = command(arguments, ROOT, work)
    assert done.returncode == 0, (arguments, done.stderr)
    return done.stdout + done.stderr


def test_the_examples_of_the_readme(work: Path) -> None:
    """All six but the DAW's: a stem, a chain, a timbre, an instrument, a worker and its client."""
    text = (ROOT / "README.md").read_text(encoding="utf-8")
    shown = blocks(ROOT / "README.md")
    by_name = {words[0]: words for block in shown for words in commands(block)}
    assert set(by_name) == {"demo", "render", "serve", "plugin"}
    run(by_name["render"], work)
    assert sorted(path.name for path in (work / "out").iterdir()) == ["a.wav", "b.wav"]

    code = "\n".join(block.text for block in shown if block.language == "python")
    assert PORT == 9010
    assert code.count("localhost:9010") == 1
    checks = """
assert audio.shape == (2, 48000) and np.abs(audio).max() > 0.01
assert wet.shape == voice.shape and np.abs(wet).max() > 0.01
"""
    with serving(by_name["serve"], work) as port:
        code = "import numpy as np\n" + code.replace("localhost:9010", f"localhost:{port}") + checks
        done = python(code, ROOT, work)
    assert done.returncode == 0, done.stderr
    assert len(soundfile.read(work / "out.wav")[0]) == 24000
    assert np.abs(soundfile.read(work / "violin.wav")[0]).max() > 0.01
    assert "pip install . && neural-fx demo\n" in text
    assert 'pip install -e ".[test]" && pytest\n' in text
    assert len(text.splitlines()) <= 200


@pytest.mark.parametrize("page", sorted(path.name for path in (ROOT / "docs/start").glob("*.md")))
def test_the_examples_of_a_quick_start(page: str, work: Path) -> None:
    """Blocks marked to run: commands in their order, then the Python of the page as one program."""
    shown = blocks(ROOT / "docs/start" / page)
    for block in shown:
        if block.name:
            (work / block.name).write_text(block.text)
    marked = [block for block in shown if block.runs]
    for block in marked:
        for arguments in commands(block):
            run(arguments, work)
    program = "\n".join(block.text for block in marked if block.language == "python")
    if program:
        done = python(program, ROOT, work)
        assert done.returncode == 0, done.stderr
    for block in shown:
        if block.name.endswith(".yaml"):
            run(["render", "di.wav", "--board", block.name, "-o", "checked.wav", "--overwrite"], work)


def test_the_examples_of_the_latent_instrument(work: Path) -> None:
    """The Python of the page as one program, its commands that make presets, and its board."""
    shown = blocks(ROOT / "docs/howto/latent.md")
    (work / "my-note.wav").write_bytes((work / "voice.wav").read_bytes())
    for words in (words for block in shown for words in commands(block) if words[0] == "latent"):
        run(words, work)
    assert {path.name for path in work.glob("*.preset")} == {"my.preset", "random.preset"}
    program = "\n".join(block.text for block in shown if block.language == "python")
    done = python(program + "\nassert abs(audio).max() > 0.01 and own.sound == 'marimba'", ROOT, work)
    assert done.returncode == 0, done.stderr
    board = next(block.text for block in shown if block.language == "yaml")
    (work / "marimba.yaml").write_text(board)
    run(["render", "di.wav", "--board", "marimba.yaml", "-o", "checked.wav"], work)
