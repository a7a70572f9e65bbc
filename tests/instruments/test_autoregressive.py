"""Test the instruments whose networks draw one sample after another."""

from __future__ import annotations

import subprocess
import sys

import mido
import numpy as np
import pytest

from instruments import Recurrent, WaveNet, open_instrument
from neural_fx.errors import NeuralFXError

KINDS = pytest.mark.parametrize("kind", [WaveNet, Recurrent])


def notes(*keys: int, end: float = 0.2) -> list[mido.Message]:
    return [mido.Message("note_on", note=k, velocity=90, time=0.01 * n) for n, k in enumerate(keys)] + [
        mido.Message("note_off", note=k, time=end) for k in keys
    ]


@KINDS
def test_blocks_of_any_size_give_the_same_samples_and_seeds_differ(kind: type[WaveNet] | type[Recurrent]) -> None:
    messages = notes(69, 64)
    whole = kind("flute")(messages, 0.3, 48000)
    assert np.array_equal(whole, kind("flute")(messages, 0.3, 48000, buffer_size=37))
    assert not np.array_equal(whole, kind("flute", seed=1)(messages, 0.3, 48000))
    assert np.isfinite(whole).all()
    assert 1e-3 < np.abs(whole).max() < 1


@KINDS
def test_notes_end_in_silence(kind: type[WaveNet] | type[Recurrent]) -> None:
    audio = kind("cello")(notes(57, end=0.1), 0.9, 24000, num_channels=1)[0]
    assert np.abs(audio[:2400]).max() > 1e-3
    assert np.abs(audio[-2400:]).max() < 1e-6


def test_a_bend_moves_the_pitch() -> None:
    bend = mido.Message("pitchwheel", pitch=8191, time=0)
    audio = Recurrent("flute")([bend, *notes(69, end=0.6)], 0.6, 24000, num_channels=1)[0]
    spectrum = np.abs(np.fft.rfft(audio[4800:] * np.hanning(len(audio) - 4800), 65536))
    low, high = (round(hz * 65536 / 24000) for hz in (400, 550))
    hz = (low + spectrum[low:high].argmax()) * 24000 / 65536
    assert hz == pytest.approx(493.9, rel=0.012)


def test_unknown_names_suggest() -> None:
    with pytest.raises(NeuralFXError, match="did you mean 'cello'"):
        WaveNet("celo")
    assert open_instrument("wavenet:cello").sound == open_instrument("wavenet-cello").sound == "wavenet-cello"


def test_playing_needs_no_torch() -> None:
    code = (
        "import sys, mido; from instruments import WaveNet; "
        "WaveNet('oboe')([mido.Message('note_on', note=69, time=0)], 0.05, 48000); assert 'torch' not in sys.modules"
    )
    subprocess.run([sys.executable, "-c", code], check=True)
