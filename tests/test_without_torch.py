"""The base install has no torch: everything that plays works without it, and the rest says what to install.

A module that cannot be imported stands in torch's place, in processes of their own.
"""

from __future__ import annotations

import json
import os
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path

import mido
import numpy as np
import pytest
import soundfile

from neural_fx.engines import cpu
from tests.conftest import SHARED, guitarml_document, noise, wavenet_document

ROOT = Path(__file__).parents[1]
INSTALL = "which is not installed: pip install 'neural-fx[torch]'"

Python = Callable[..., subprocess.CompletedProcess[str]]


@pytest.fixture
def python(tmp_path: Path) -> Python:
    """Runs Python code where torch is not installed, in an empty folder."""
    package = tmp_path / "packages" / "torch"
    package.mkdir(parents=True)
    (package / "__init__.py").write_text("raise ModuleNotFoundError(\"No module named 'torch'\", name='torch')\n")
    (tmp_path / "work").mkdir()

    def run(code: str, *arguments: object) -> subprocess.CompletedProcess[str]:
        path = os.pathsep.join((str(package.parent), str(ROOT)))
        return subprocess.run(
            [sys.executable, "-c", code, *map(str, arguments)], cwd=tmp_path / "work", capture_output=True, text=True,
            env={**os.environ, "PYTHONPATH": path, "COLUMNS": "200"}, timeout=300, check=False,
        )  # fmt: skip

    return run


@pytest.fixture
def command(python: Python) -> Python:
    """Runs `neural-fx ARGS` there."""
    return lambda *arguments: python("from bridge.cli import main; main()", *arguments)


needs_compiled = pytest.mark.skipif(not cpu.available(), reason="the compiled engine was not built")


@needs_compiled
def test_the_commands_that_play(command: Python, tmp_path: Path) -> None:
    work = tmp_path / "work"
    (work / "amp.nam").write_text(json.dumps(wavenet_document()))
    (work / "lstm.json").write_text(json.dumps(guitarml_document()))
    soundfile.write(work / "stem.wav", noise(24000), 48000)
    song = mido.MidiFile()
    song.tracks.append(mido.MidiTrack([mido.Message("note_on", note=69), mido.Message("note_off", note=69, time=240)]))
    song.save(work / "song.mid")
    for i, arguments in enumerate(
        [
            ("demo", "-o", "demo.wav"),
            ("render", "stem.wav", "--model", "amp.nam", "-o", "a.wav"),
            ("render", "stem.wav", "--model", "lstm.json", "--oversample", 2, "-o", "b.wav"),
            (
                "render",
                "stem.wav",
                "--pedal",
                "big-muff",
                "--set",
                "sustain=0.8",
                "--device",
                "cpu-fast",
                "-o",
                "c.wav",
            ),
            ("render", "stem.wav", "stem.wav", "--timbre", "flute", "--jobs", 2, "-o", "folder/"),
            ("play", "song.mid", "--instrument", "violin", "-o", "d.wav"),
            ("analyze", "stem.wav", "--method", "live"),
            ("info", "amp.nam"),
            ("pedals",),
            ("instruments",),
            ("export", "tube-screamer", "--set", "drive=0.3", "-o", "ts.nam"),
        ]
    ):
        done = command(*arguments)
        assert done.returncode == 0, (i, arguments, done.stderr)
        assert "Traceback" not in done.stderr
    assert np.isfinite(soundfile.read(work / "c.wav")[0]).all()


@needs_compiled
@pytest.mark.skipif(not (SHARED / "models").is_dir(), reason="reference models are not here")
def test_the_captures_of_the_common_formats(python: Python) -> None:
    """Every shared `.nam`, GuitarML and SMC-2019 capture plays, but for activations that only torch has."""
    paths = sorted(
        path for folder in ("captures", "nam", "wavenetva") for path in (SHARED / "models" / folder).rglob("*")
        if path.suffix in (".nam", ".json")
    )  # fmt: skip
    code = (
        "import sys, warnings, numpy as np, neural_fx\n"
        "from neural_fx.errors import MissingPackageError, ModelError\n"
        "warnings.simplefilter('ignore')\n"
        "played = refused = 0\n"
        "for path in sys.argv[1:]:\n"
        "    try:\n"
        "        capture = neural_fx.load(path)\n"
        "    except ModelError:\n"
        "        continue\n"
        "    try:\n"
        "        assert np.isfinite(capture(np.zeros(4800, np.float32), 48000)).all()\n"
        "        played += 1\n"
        "    except MissingPackageError as error:\n"
        "        assert 'parts that the compiled engine cannot run' in str(error), error\n"
        "        refused += 1\n"
        "print(played, refused)\n"
    )
    done = python(code, *paths)
    assert done.returncode == 0, done.stderr
    played, refused = map(int, done.stdout.split())
    assert played >= 10
    assert refused <= played / 10


def test_a_worker_serves_streams(python: Python) -> None:
    code = (
        "import numpy as np, bridge\n"
        "from bridge.host import BoardHost\n"
        "from bridge.stream_server import StreamServer\n"
        "from neural_fx.pedalboard import Pedalboard\n"
        "from neural_fx.pedals import make_pedal\n"
        "server = StreamServer({'lead': BoardHost('lead', lambda: Pedalboard([make_pedal('ds-1')]))})\n"
        "lead = bridge.connect(f'127.0.0.1:{server.port}', 'lead')\n"
        "print(lead(np.ones((1, 4800), np.float32), 48000).shape)\n"
        "lead.close() if hasattr(lead, 'close') else None\n"
        "server.close()\n"
    )
    done = python(code)
    assert (done.returncode, done.stdout) == (0, "(1, 4800)\n"), done.stderr


@pytest.mark.parametrize(
    ("arguments", "words"),
    [
        (("train", "dry.wav", "wet.wav", "-o", "x.nam"), "training needs torch"),
        (("train-timbre", ".", "-o", "x.safetensors"), "training needs torch"),
        (("render", "dry.wav", "--pedal", "ds-1", "--device", "cuda", "-o", "x.wav"), "device cuda needs torch"),
        (("render", "dry.wav", "--pedal", "ds-1", "--device", "torch", "-o", "x.wav"), "device torch needs torch"),
        (("render", "dry.wav", "--pedal", "ds-1", "--device", "batched", "-o", "x.wav"), "device batched needs torch"),
        (("serve", "--device", "cuda", "--osc-port", "0", "--stream-port", "0"), "device cuda needs torch"),
    ],
)
def test_what_needs_torch_says_so_in_one_line(
    command: Python, tmp_path: Path, arguments: tuple[str, ...], words: str
) -> None:
    for name in ("dry.wav", "wet.wav"):
        soundfile.write(tmp_path / "work" / name, noise(4800), 48000)
    done = command(*arguments)
    assert done.returncode == 2
    (line,) = [line for line in done.stderr.splitlines() if line.startswith("neural-fx: error")]
    assert words in line
    assert INSTALL in line
    assert "Traceback" not in done.stderr


def test_a_model_that_needs_torch_says_so(python: Python, tmp_path: Path) -> None:
    """RTNeural chains with a recurrent layer among others."""
    code = (
        "import numpy as np, neural_fx\n"
        "from neural_fx.engines import cpu\n"
        "cpu.supports = lambda network: False\n"
        "try:\n"
        "    neural_fx.pedals.make_pedal('ds-1')(np.zeros(480, np.float32), 48000)\n"
        "except neural_fx.NeuralFXError as error:\n"
        "    print(error)\n"
    )
    done = python(code)
    assert INSTALL in done.stdout, done.stderr
    assert "this model has parts that the compiled engine cannot run, so it needs torch" in done.stdout
    without_compiler = "from neural_fx.engines import cpu\ncpu.core = None\n" + code
    assert "the compiled engine was not built" in python(without_compiler).stdout
