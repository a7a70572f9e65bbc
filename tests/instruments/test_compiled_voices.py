"""Tests that the compiled voices of notes play what the voices in numpy play."""

import mido
import numpy as np
import pytest

from instruments import DDSP, ddsp
from neural_fx.engines import cpu
from tests.neural_fx.timbre.makers import timbre

pytestmark = pytest.mark.skipif(not cpu.available(), reason="the compiled kernels were not built")


def random_messages(seed, seconds):
    """Notes, bends, pedals and controllers of a careless player. More notes than voices, so that some are stolen."""
    rng = np.random.default_rng(seed)
    messages = []
    for _ in range(int(20 * seconds)):
        at = float(rng.uniform(0, seconds))
        note = int(rng.integers(40, 90))
        messages.append(mido.Message("note_on", note=note, velocity=int(rng.integers(1, 128)), time=at))
        messages.append(mido.Message("note_off", note=note, time=at + float(rng.uniform(0.01, 0.6))))
    for _ in range(int(10 * seconds)):
        at = float(rng.uniform(0, seconds))
        control = int(rng.choice([1, 2, 7, 11, 64, 66, 74]))
        messages.append(mido.Message("control_change", control=control, value=int(rng.integers(128)), time=at))
        messages.append(mido.Message("pitchwheel", pitch=int(rng.integers(-8192, 8192)), time=at))
        messages.append(mido.Message("aftertouch", value=int(rng.integers(128)), time=at))
    return messages


@pytest.mark.parametrize("seed", range(4))
@pytest.mark.parametrize(("rate", "block"), [(48000, 64), (48000, 8192), (44100, 256)])
@pytest.mark.parametrize("parameters", [{}, {"voices": 1, "glide": 0.2}, {"morph": 0.4, "brightness": 3}])
def test_notes_equal_numpy(seed, rate, block, parameters, monkeypatch):
    def play():
        instrument = DDSP(timbre(), morph_to=timbre(5, hidden=24, harmonics=30), **parameters)
        first = instrument(random_messages(seed, 0.8), 0.8, rate, 1, block)
        instrument.morph, instrument.reverb, instrument.vibrato = 0.8, 0.2, 3
        second = instrument(random_messages(seed + 99, 0.7), 0.7, rate, 1, block, reset=False)
        return np.concatenate((first, second), 1)

    ours = play()
    monkeypatch.setattr(ddsp, "CompiledVoices", ddsp.DDSPVoices)
    reference = play()
    assert np.abs(reference).max() > 0.01
    assert np.abs(ours - reference).max() < 1e-5 * np.abs(reference).max()
