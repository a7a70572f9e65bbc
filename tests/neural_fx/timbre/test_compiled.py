"""Tests that the compiled voices play what the voices in numpy play."""

import os
import subprocess
import sys
import threading

import numpy as np
import pytest

from neural_fx.engines import cpu
from neural_fx.timbre import TimbreTransfer, effect
from neural_fx.timbre.analysis import HOP, RATE
from neural_fx.timbre.compiled import NOTE_KNOBS, TRANSFER_KNOBS, CompiledNotes, CompiledTransfer
from neural_fx.timbre.effect import FIT
from tests.counting import needs_counts
from tests.neural_fx.timbre.makers import timbre, tone

pytestmark = pytest.mark.skipif(not cpu.available(), reason="the compiled kernels were not built")

VIBRATO = 330 * 2 ** (0.03 * np.sin(np.arange(RATE // 2) / 1500))
PHRASE = np.concatenate((tone(VIBRATO, 0.5), np.zeros(4000, np.float32), tone(98, 0.4), tone(1480, 0.3, 0.02)))
PHRASE += (1e-4 * np.random.default_rng(1).standard_normal(len(PHRASE))).astype(np.float32)
MOVES = (
    {"brightness": -6.0, "octave": 1.0},
    {"loudness_db": -8.0, "vibrato": 3.0, "reverb": 0.3},
    {"morph": 0.9, "breath": 3.0, "adjust": 0.0},
    {"pitch_correct": 1.0, "brightness": 0.0, "octave": -1.0, "reverb": 1.5},
)


def played(timbres, block, rate=RATE):
    player = TimbreTransfer(*timbres[:1], morph_to=timbres[1] if len(timbres) == 2 else None, morph=0.25)
    parts = []
    for start in range(0, len(PHRASE), block):
        for name, value in MOVES[(start // 12000) % len(MOVES)].items():
            player.set_parameter(name, value)
        parts.append(player(PHRASE[start : start + block], rate, reset=False))
    return np.concatenate([*parts, player.flush()], -1)


@pytest.mark.parametrize("rate", [RATE, 44100])
@pytest.mark.parametrize("count", [1, 2])
@pytest.mark.parametrize("block", [50, 256, 3000])
def test_transfer_equals_numpy(count, block, rate, monkeypatch):
    timbres = (timbre(), timbre(3, hidden=24, harmonics=55, reverb=900))[:count]
    ours = played(timbres, block, rate)
    monkeypatch.setattr(effect, "CompiledTransfer", effect._Voice)
    reference = played(timbres, block, rate)
    assert ours.shape == reference.shape
    assert np.abs(ours - reference).max() < 1e-5 * np.abs(reference).max()
    assert np.abs(reference).max() > 0.01


def test_damaged_input_is_taken_as_silence():
    clean, damaged = tone(330, 0.3), tone(330, 0.3)
    damaged[5000:5003] = np.nan, np.inf, -np.inf
    clean[5000:5003] = 0
    expected = TimbreTransfer(timbre())(clean, RATE)
    found = TimbreTransfer(timbre()).process(damaged, RATE)
    assert np.isfinite(found).all()
    assert np.array_equal(found, expected)


@pytest.mark.parametrize("limit", ["sse2", "avx2", "avx512"])
def test_instruction_sets_agree(limit, tmp_path):
    if limit not in cpu.instruction_sets():
        pytest.skip(f"this machine cannot run {limit}")
    script = (
        "import numpy, sys; from tests.neural_fx.timbre.test_compiled import played; "
        "from tests.neural_fx.timbre.makers import timbre; numpy.save(sys.argv[1], played((timbre(), timbre(3)), 256))"
    )
    path = tmp_path / "played.npy"
    environment = {**os.environ, "NEURAL_FX_INSTRUCTION_SET": limit}
    subprocess.run([sys.executable, "-c", script, path], env=environment, check=True, timeout=300)
    ours = played((timbre(), timbre(3)), 256)
    # They round the autocorrelation differently, and the phase adds up what the pitch then differs by.
    assert np.abs(np.load(path) - ours).max() < 1e-4 * np.abs(ours).max()


def open_transfer(**changes):
    knobs = {name: p.default for name, p in TimbreTransfer(timbre()).parameters.items()} | changes
    return CompiledTransfer((timbre(),), knobs, FIT), knobs


def test_only_whole_hops_come_out():
    voice, knobs = open_transfer()
    for size in (0, 1, 100, 191, 192, 193, 5000):
        assert len(voice.process(np.zeros(size, np.float32), knobs)) % HOP == 0


def test_two_threads_play_at_once():
    """The lock of the interpreter is released, and voices share nothing."""
    results = {}

    def play(key):
        voice, knobs = open_transfer()
        results[key] = voice.process(PHRASE, knobs)

    threads = [threading.Thread(target=play, args=(key,)) for key in range(2)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert np.array_equal(results[0], results[1])


@needs_counts
@pytest.mark.counting
def test_processing_allocates_nothing():
    voice, knobs = open_transfer()
    values = tuple(knobs[name] for name in TRANSFER_KNOBS)
    out = np.zeros(len(PHRASE) + 2 * HOP, np.float32)
    before = cpu.core.allocations()
    for block in (PHRASE, PHRASE[:100], PHRASE[:HOP]):
        voice._native.process(block, values, out)
    assert cpu.core.allocations() == before


@needs_counts
@pytest.mark.counting
def test_notes_allocate_nothing():
    knobs = dict.fromkeys(NOTE_KNOBS, 0.5)
    notes = CompiledNotes((timbre(), timbre(3)), 8, {"fade": 96, "vibrato_full": 1.0}, knobs)
    values = tuple(knobs.values())
    outs = [np.zeros(count, np.float32) for count in (100, 192, 500)]
    touch = (69.0, 0.7, 0.1, 0.2, 0.7, 1.0, 1.0, 0.5)
    before = cpu.core.allocations()
    for out in outs:
        for voice in range(8):  # stolen twice
            notes.start(voice, touch, True)
        notes._native.render(values, out)
        notes.change(3, touch, False)
    assert cpu.core.allocations() == before


def test_sizes_that_do_not_fit_are_refused():
    voice, knobs = open_transfer()
    with pytest.raises(ValueError, match="sizes do not fit"):
        voice._native.process(np.zeros(100, np.float32), tuple(range(9)), np.zeros(100, np.float32))
    notes = CompiledNotes((timbre(),), 2, {"fade": 96}, {**knobs, "loudness_db": 0.0})
    with pytest.raises(IndexError, match="no such voice"):
        notes.start(2, (69.0,) * 8, True)
    with pytest.raises(ValueError, match="sizes do not fit"):
        CompiledNotes((timbre(),), 2, {"fade": HOP + 1}, knobs)
