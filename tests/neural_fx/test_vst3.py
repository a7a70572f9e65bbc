"""A real VST3 in a board: built here from `tests/vst3` with the DISTRHO Plugin Framework (Debian `dpf-source`)."""

from __future__ import annotations

import os
import shutil
import subprocess
from pathlib import Path

import numpy as np
import pedalboard
import pytest
import soundfile

import neural_fx
from neural_fx.errors import AudioError, BoardError, ParameterError
from neural_fx.render import render_file
from neural_fx.slots import apply_settings
from tests.conftest import noise
from tests.neural_fx.test_pedalboard import neural
from tests.neural_fx.test_streaming import assert_streams

DPF = Path(os.environ.get("DPF_PATH", "/usr/share/dpf"))


@pytest.fixture(scope="session")
def late_gain(tmp_path_factory: pytest.TempPathFactory) -> Path:
    if not (DPF / "Makefile.plugins.mk").exists() or not all(map(shutil.which, ("make", "g++"))):
        pytest.skip(f"no plugin framework at {DPF} (Debian: apt-get install dpf-source g++ make)")
    folder = tmp_path_factory.mktemp("vst3")
    # -ffast-math would set flush-to-zero for the whole test process the moment the plugin is loaded.
    where = ["BASE_OPTS=-O2", f"DPF_PATH={DPF}", f"DPF_TARGET_DIR={folder}", f"DPF_BUILD_DIR={folder / 'build'}"]
    source = Path(__file__).parents[1] / "vst3"
    done = subprocess.run(["make", "-s", "-C", source, *where], capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr
    return folder / "LateGain.vst3"


def test_latency_is_compensated_and_branches_line_up(late_gain: Path) -> None:
    x = noise(5000, 2)
    plugin = pedalboard.load_plugin(str(late_gain))
    np.testing.assert_allclose(neural_fx.Pedalboard([plugin])(x, 48000), x, atol=1e-6)
    inverted = neural_fx.Mix([neural_fx.Chain([plugin, pedalboard.Invert()]), neural_fx.Chain()])
    assert np.abs(inverted(x, 48000)).max() < 1e-6
    board = neural_fx.Pedalboard([plugin])
    board.process(x, 48000, reset=False)
    assert board.latency_samples == 100


def test_it_streams_beside_a_neural_processor(late_gain: Path) -> None:
    board = neural_fx.Pedalboard([neural(), pedalboard.load_plugin(str(late_gain)), pedalboard.Reverb(), neural(1)])
    for rate in (44100, 48000):
        assert_streams(board, noise(20000, 2), rate, [7, 1, 3000, 64, 64, 5000])


def test_board_file(late_gain: Path, tmp_path: Path) -> None:
    (tmp_path / "b.yaml").write_text(f"slots:\n- vst3: {late_gain}\n  name: late\n  set: {{gain: 0.5}}\n")
    board = neural_fx.Pedalboard.from_file(tmp_path / "b.yaml")
    x = noise(3000, 2)
    np.testing.assert_allclose(board(x, 48000), 2 * x, atol=1e-6)  # raw 0.5 of 0..4
    board.save(tmp_path / "c.yaml")
    again = neural_fx.Pedalboard.from_file(tmp_path / "c.yaml")
    np.testing.assert_allclose(again(x, 48000), 2 * x, atol=1e-6)
    with pytest.raises(BoardError, match="path_to_plugin_file"):
        neural_fx.Pedalboard([pedalboard.load_plugin(str(late_gain))]).save(tmp_path / "lost.yaml")
    apply_settings(again, ["late.gain=1"])
    np.testing.assert_allclose(again(x, 48000), x, atol=1e-6)
    for bad in ("nan", "inf"):
        with pytest.raises(ParameterError, match="gain: expected a finite number"):
            apply_settings(again, [f"late.gain={bad}"])
    with pytest.raises(ParameterError, match=r"no parameter 'drive'; it has: .*gain"):
        apply_settings(again, ["late.drive=1"])
    for bad, words in {
        "{gain: 7}": "raw value from 0 to 1",
        "{gain: .nan}": "expected a finite number",
        "{gain: 'nan'}": "raw value from 0 to 1",
        "{drive: 1}": "no parameter 'drive'",
    }.items():
        (tmp_path / "d.yaml").write_text(f"slots:\n- vst3: {late_gain}\n  set: {bad}\n")
        with pytest.raises(BoardError, match=f"line 3.*{words}"):
            neural_fx.Pedalboard.from_file(tmp_path / "d.yaml")
    (tmp_path / "e.yaml").write_text("slots:\n- vst3: gone.vst3\n")
    with pytest.raises(BoardError, match=r"line 2.*no such plugin"):
        neural_fx.Pedalboard.from_file(tmp_path / "e.yaml")


def test_mono_into_a_stereo_plugin(late_gain: Path) -> None:
    """pedalboard refuses it; a mono stem through a stereo plugin is what guitarists do all day."""
    plugin = pedalboard.load_plugin(str(late_gain))
    with pytest.raises(ValueError, match="1-channel"):
        pedalboard.Pedalboard([plugin])(noise(100), 48000)
    x = noise(5000)
    np.testing.assert_allclose(neural_fx.Pedalboard([plugin])(x, 48000), x, atol=1e-6)
    assert_streams(neural_fx.Pedalboard([plugin, neural()]), x, 48000, [1, 300, 7, 2000])


def test_what_a_plugin_refuses_is_told(late_gain: Path, tmp_path: Path) -> None:
    soundfile.write(tmp_path / "five.wav", noise(1000, 5).T, 48000)
    board = neural_fx.Pedalboard([pedalboard.load_plugin(str(late_gain))])
    with pytest.raises(AudioError, match=r"five\.wav: cannot be processed: .*5-channel"):
        render_file(tmp_path / "five.wav", tmp_path / "out.wav", board)
    assert not (tmp_path / "out.wav").exists()
