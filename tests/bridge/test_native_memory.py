"""Memory of the compiled module: all of it comes back while Python runs, and nothing is listed when Python ends."""

from __future__ import annotations

import gc
import json
import os
import signal
import subprocess
import sys
import threading
from collections.abc import Callable
from pathlib import Path

import mido
import numpy as np
import pytest
import soundfile

import bridge
import neural_fx
from bridge.host import BoardHost, InstrumentHost, instrument_from
from instruments import DDSP
from neural_fx.engines.cpu import available, core
from neural_fx.pedalboard import Pedalboard
from neural_fx.pedals import KlonGainStage
from neural_fx.processor import Spec
from tests.bridge.test_serve import start
from tests.conftest import noise, wavenet_document
from tests.counting import needs_counts

pytestmark = pytest.mark.skipif(not available(), reason="the compiled kernels are not built")

ROOT = Path(__file__).parents[2]


def play_capture(path: Path) -> None:
    neural_fx.load(path)(noise(4800), 48000)


def play_board(path: Path) -> None:
    Pedalboard([neural_fx.load(path), KlonGainStage()])(noise(4800), 44100)


def play_instrument(path: Path) -> None:
    DDSP("violin")(
        [mido.Message("note_on", note=60, time=0.0), mido.Message("note_off", note=60, time=0.1)], 0.2, 48000
    )


def host_streams(path: Path) -> None:
    """Streams that open and close, on a board that is changed meanwhile."""
    host = BoardHost("amp", lambda: Pedalboard([neural_fx.load(path)]))
    streams = [host.open(Spec(48000, 2, 256)) for _ in range(3)]
    host.load(lambda: Pedalboard([KlonGainStage()]))
    for stream in streams:
        for _ in range(50):
            stream.process(np.zeros((2, 256), np.float32))
        host.close(stream)


def host_instrument(path: Path) -> None:
    host = InstrumentHost("solo", instrument_from("violin"))
    stream = host.open(Spec(48000, 2, 256))
    host.play(mido.Message("note_on", note=60))
    stream.process(np.zeros((2, 256), np.float32))
    host.close(stream)


def fail(path: Path) -> None:
    """Errors at different depths, which hold the frames that they came through."""
    for act in (lambda: neural_fx.load(path)(np.zeros((2, 2, 2)), 48000), lambda: neural_fx.load(path).no_such):
        with pytest.raises((RuntimeError, AttributeError)):
            act()


def make_cycles(path: Path) -> None:
    model = neural_fx.load(path)
    model(noise(480), 48000)
    holder = [model]
    holder.append(holder)  # type: ignore[arg-type]


def run_threads(path: Path) -> None:
    threads = [threading.Thread(target=play_capture, args=(path,)) for _ in range(3)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()


@pytest.mark.counting
@needs_counts
@pytest.mark.parametrize(
    "act",
    [play_capture, play_board, play_instrument, host_streams, host_instrument, fail, make_cycles, run_threads],
)
def test_memory_comes_back(act: Callable[[Path], None], tmp_path: Path) -> None:
    path = tmp_path / "amp.nam"
    path.write_text(json.dumps(wavenet_document()))
    held = []
    for _ in range(4):
        act(path)
        gc.collect()
        held.append(core.blocks_held())
    assert held[1:] == [held[1]] * 3  # the first time may fill caches


@pytest.mark.counting
@needs_counts
def test_memory_is_counted_while_it_is_held(tmp_path: Path) -> None:
    path = tmp_path / "amp.nam"
    path.write_text(json.dumps(wavenet_document()))
    play_capture(path)
    gc.collect()
    before = core.blocks_held()
    model = neural_fx.load(path)
    model(noise(480), 48000)
    assert core.blocks_held() > before
    del model
    gc.collect()
    assert core.blocks_held() == before


KEPT = """
import gc, sys, threading, time
import numpy as np
import bridge
import neural_fx
from instruments import DDSP

model, solo = neural_fx.load(sys.argv[1]), DDSP("violin")
model(np.zeros(480, np.float32), 48000)

def hold(*held):
    raise ValueError("kept")

def wait(*held):
    time.sleep(600)
"""
ENDINGS = {
    "global": ("", 0),
    "exception": ("try:\n    hold(model, solo)\nexcept ValueError as error:\n    kept = error", 0),
    "uncaught": ("sys.tracebacklimit = 0\nhold(model, solo)", 1),
    "exit": ("sys.exit(2)", 2),
    "cycle": ("gc.disable()\nheld = [model, solo]\nheld.append(held)\ndel held, model, solo", 0),
    "frozen": ("held = [model, solo]\nheld.append(held)\ngc.freeze()", 0),
    "daemon": ("threading.Thread(target=wait, args=(model, solo), daemon=True).start()", 0),
    "module": ("sys.keep = neural_fx.keep = (model, solo)", 0),
    "referenced": ("import ctypes\nctypes.pythonapi.Py_IncRef(ctypes.py_object(model))", 0),
}


@pytest.mark.parametrize("ending", ENDINGS)
def test_scripts_end_without_a_list_of_what_they_held(ending: str, tmp_path: Path) -> None:
    path = tmp_path / "amp.nam"
    path.write_text(json.dumps(wavenet_document()))
    code, status = ENDINGS[ending]
    process = subprocess.run(
        [sys.executable, "-c", KEPT + code, str(path)], capture_output=True, text=True, timeout=300, check=False,
        env={**os.environ, "PYTHONPATH": str(ROOT)},
    )  # fmt: skip
    assert process.returncode == status
    assert process.stderr == ("ValueError: kept\n" if ending == "uncaught" else "")


COMMANDS = [
    (0, ["render", "in.wav", "--model", "amp.nam", "-o", "out.wav", "--sample-rate", "32000"]),
    (2, ["render", "in.wav", "--model", "amp.nam", "-o", "in.wav"]),
    (2, ["render", "cut.flac", "--model", "amp.nam", "-o", "cut.wav", "--sample-rate", "32000"]),
    (2, ["render", "in.wav", "--model", "amp.nam", "--set", "amp.gain=1", "-o", "set.wav"]),
    (0, ["play", "song.mid", "--instrument", "violin", "-o", "song.wav"]),
    (2, ["play", "song.mid", "--instrument", "violin", "--set", "no=1", "-o", "song2.wav"]),
    (2, ["train", "in.wav", "in.wav", "-o", "no/folder/amp.nam"]),
    (2, ["bench", "no.nam"]),
    (2, ["serve", "--board", "amp=amp.nam", "--board", "bad=cut.flac"]),
]


@pytest.mark.parametrize(
    ("status", "command"), COMMANDS, ids=[f"{command[0]}-{i}" for i, (_, command) in enumerate(COMMANDS)]
)
def test_commands_end_without_a_list_of_what_they_held(status: int, command: list[str], tmp_path: Path) -> None:
    """Also where a file is converted to another rate, and where they end in an error."""
    (tmp_path / "amp.nam").write_text(json.dumps(wavenet_document()))
    soundfile.write(tmp_path / "in.wav", noise(8820), 44100)
    soundfile.write(tmp_path / "cut.flac", noise(3 * 44100), 44100)
    whole = (tmp_path / "cut.flac").read_bytes()
    (tmp_path / "cut.flac").write_bytes(whole[: len(whole) // 2])
    song = mido.MidiFile()
    notes = [mido.Message(f"note_{what}", note=60, time=240 * (what == "off")) for what in ("on", "off")]
    song.tracks.append(mido.MidiTrack(notes))
    song.save(tmp_path / "song.mid")
    process = subprocess.run(
        [sys.executable, "-m", "bridge.cli", *command], cwd=tmp_path, capture_output=True, text=True, timeout=300,
        check=False, env={**os.environ, "PYTHONPATH": str(ROOT)},
    )  # fmt: skip
    assert process.returncode == status, process.stderr
    assert "leak" not in process.stderr
    assert "nanobind" not in process.stderr


@pytest.mark.parametrize("ending", [signal.SIGTERM, signal.SIGINT])
def test_the_worker_ends_without_a_list_of_what_it_held(ending: signal.Signals, tmp_path: Path) -> None:
    """With a capture and an instrument, and streams that are still connected."""
    (tmp_path / "amp.nam").write_text(json.dumps(wavenet_document()))
    process, port, _ = start("--board", f"amp={tmp_path / 'amp.nam'}", "--instrument", "solo=violin")
    remotes = [bridge.connect(f"127.0.0.1:{port}", name) for name in ("amp", "solo")]
    for remote in remotes:
        remote.process(noise(480)[None], 48000, reset=False)
    process.send_signal(ending)
    assert process.stderr is not None
    rest = process.stderr.read()
    assert process.wait(60) == 0
    assert "leak" not in rest
    assert "nanobind" not in rest
