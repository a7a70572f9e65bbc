"""Captures as processors: levels, knobs, sizes, prewarm, laziness."""

from __future__ import annotations

import json
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest

import neural_fx
from neural_fx.engines import cpu
from neural_fx.errors import ModelError, ParameterError
from tests.conftest import container_document, esr, guitarml_document, lstm_document, noise, wavenet_document

Write = Callable[..., Path]


def test_importing_does_not_import_torch_or_pedalboard() -> None:
    code = (
        "import sys, neural_fx; print([m for m in ('torch', 'pedalboard', 'soundfile', 'scipy') if m in sys.modules])"
    )
    assert (
        subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True).stdout.strip() == "[]"
    )


def test_reading_a_file_does_not_import_torch(write: Write) -> None:
    code = f"import sys, neural_fx; neural_fx.load({str(write(wavenet_document()))!r}); print('torch' in sys.modules)"
    assert (
        subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True).stdout.strip()
        == "False"
    )


@pytest.mark.skipif(not cpu.available(), reason="the compiled engine was not built")
def test_playing_in_the_compiled_engine_needs_no_torch(write: Write) -> None:
    code = (
        f"import sys, numpy, neural_fx; p = neural_fx.load({str(write(wavenet_document()))!r});"
        "p(numpy.ones(100, 'f4'), 44100); print('torch' in sys.modules)"
    )
    assert (
        subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True).stdout.strip()
        == "False"
    )


def test_silence_in_is_steady_from_the_first_sample(write: Write) -> None:
    """The prewarm leaves no start transient: the first output for silence is the output for ever."""
    for document, device in [(d(), e) for d in (wavenet_document, lstm_document) for e in ("auto", "torch")]:
        y = neural_fx.load(write(document), device=device)(np.zeros(3000, np.float32), 48000)
        assert np.abs(y - y[-1]).max() < 1e-5


def test_levels(write: Write) -> None:
    path, x = write(wavenet_document()), noise(2000)
    raw = neural_fx.load(path)(x, 48000)
    normalized = neural_fx.load(path, level="normalized")(x, 48000)
    np.testing.assert_allclose(normalized, raw * 10 ** ((-18 + 20) / 20), rtol=1e-5, atol=1e-7)
    calibrated = neural_fx.load(path, level="calibrated", interface_dbu=12)(x, 48000)
    by_hand = neural_fx.load(path, input_gain_db=12 - 14, output_gain_db=10 - 12)(x, 48000)
    np.testing.assert_allclose(calibrated, by_hand, rtol=1e-5, atol=1e-7)
    moved = neural_fx.load(path, level="calibrated")
    moved.interface_dbu = 15
    louder = neural_fx.load(path, input_gain_db=15 - 14, output_gain_db=10 - 15)
    np.testing.assert_allclose(moved(x, 48000), louder(x, 48000), rtol=1e-5, atol=1e-7)
    bare = write(wavenet_document(metadata=None), "bare.nam")
    with pytest.raises(ModelError, match=r"bare\.nam: metadata: level .* use raw"):
        neural_fx.load(bare, level="calibrated")
    with pytest.raises(ModelError, match="known: raw, normalized, calibrated"):
        neural_fx.load(path, level="loud")


def test_knobs_move_smoothly(write: Write) -> None:
    """A knob jump while playing gives no larger step than the signal itself has."""
    processor = neural_fx.load(write(guitarml_document("LSTM", 2)))
    t = np.arange(9600) / 44100
    x = (0.3 * np.sin(2 * np.pi * 100 * t)).astype(np.float32)
    processor.gain = 0.0
    first = processor.process(x[:4800], 44100, reset=False)
    processor.gain = 1.0
    second = processor.process(x[4800:], 44100, reset=False)
    y = np.concatenate((first, second))
    steps = np.abs(np.diff(y))
    assert steps[4790:4810].max() <= 1.5 * steps[:4700].max()
    settled = neural_fx.load(write(guitarml_document("LSTM", 2)), gain=1.0)(x, 44100)
    assert esr(settled[-2000:], y[-2000:]) < 1e-4


def test_size_is_cross_faded_and_lands_on_the_other_model(write: Write) -> None:
    processor = neural_fx.load(write(container_document()))
    x = noise(20000, seed=9)
    large = processor(x, 48000)
    processor.size = 0.0
    small = processor(x, 48000)
    np.testing.assert_allclose(small, neural_fx.load(write(wavenet_document(1, 2), "s.nam"))(x, 48000), atol=1e-6)
    np.testing.assert_allclose(large, neural_fx.load(write(wavenet_document(2, 4), "l.nam"))(x, 48000), atol=1e-6)
    assert esr(large, small) > 0.01
    processor.size = 1.0
    parts = [processor.process(x[:5000], 48000, reset=False)]
    processor.size = 0.2
    parts += [processor.process(x[i : i + 100], 48000, reset=False) for i in range(5000, 20000, 100)]
    y = np.concatenate(parts)
    np.testing.assert_allclose(y[:5000], large[:5000], atol=1e-6)
    np.testing.assert_allclose(y[5960:], small[5960:], atol=1e-5)  # 20 ms later, prewarmed with what went before
    weight = np.arange(1, 961) / 960
    np.testing.assert_allclose(y[5000:5960], large[5000:5960] * (1 - weight) + small[5000:5960] * weight, atol=1e-5)


def test_parameters_are_listed(write: Write) -> None:
    processor = neural_fx.load(write(guitarml_document("GRU", 3)))
    assert list(processor.parameters) == ["input_gain_db", "output_gain_db", "gain", "master"]
    with pytest.raises(ParameterError, match="it has: input_gain_db, output_gain_db, gain, master"):
        neural_fx.load(write(guitarml_document("GRU", 3)), treble=1)


def test_two_processors_of_one_file_do_not_share_state(write: Write) -> None:
    path, x = write(lstm_document()), noise(1000)
    a, b = neural_fx.load(path), neural_fx.load(path)
    expected = a(x, 48000)
    a.process(x[:500], 48000, reset=False)
    b.process(noise(700, seed=1), 48000, reset=False)
    np.testing.assert_allclose(a.process(x[500:], 48000, reset=False), expected[500:], atol=1e-6)


def test_torch_threads_are_left_alone(write: Write) -> None:
    import torch

    before = torch.get_num_threads()
    neural_fx.load(write(wavenet_document()), device="torch")(noise(1000), 48000)
    assert torch.get_num_threads() == before


def test_info(write: Write) -> None:
    from neural_fx.formats import read
    from neural_fx.info import describe

    found = describe(read(write(wavenet_document())))
    assert found["parameter_count"] == 143
    assert found["receptive_field_samples"] == 15
    assert found["receptive_field_ms"] == pytest.approx(0.3125, abs=1e-3)
    assert found["levels"] == ["raw", "normalized", "calibrated"]
    assert found["metadata"]["name"] == "small"
    json.dumps(found)


def stray_db(y: np.ndarray, frequency: float) -> float:
    """Energy up to 15 kHz that is no harmonic of `frequency`, in dB of all."""
    power = np.abs(np.fft.rfft(y * np.hanning(len(y)))) ** 2
    bins = np.fft.rfftfreq(len(y), 1 / 48000)
    stray = (np.abs(bins - frequency * np.round(bins / frequency)) > 40) & (bins > 40) & (bins < 15000)
    return float(10 * np.log10(power[stray].sum() / power.sum()))


@pytest.mark.parametrize("count", [2, 4])
def test_oversampling_keeps_the_sound_and_loses_aliases(write: Callable[..., Path], count: int) -> None:
    """The same low note; for a high one driven hard, aliases well below those without."""
    path = write(wavenet_document())
    t = np.arange(24000) / 48000
    plain, over = neural_fx.load(path), neural_fx.load(path, oversample=count)
    low = 0.3 * np.sin(2 * np.pi * 110 * t).astype(np.float32)
    np.testing.assert_allclose(over(low, 48000)[4000:-4000], plain(low, 48000)[4000:-4000], atol=2e-3)
    plain.input_gain_db = over.input_gain_db = 30
    high = np.sin(2 * np.pi * 5013 * t).astype(np.float32)
    found = [stray_db(p(high, 48000)[8000:-4000], 5013) for p in (plain, over)]
    assert found[1] < found[0] - 6
    with pytest.raises(ParameterError, match="oversample"):
        neural_fx.load(path, oversample=3)


def test_oversampled_streams_do_not_depend_on_blocks(write: Callable[..., Path]) -> None:
    processor = neural_fx.load(write(wavenet_document()), oversample=4)
    x = noise(6000)
    whole = processor(x, 44100)
    parts = [processor.process(part, 44100, reset=False) for part in np.split(x, [1, 700, 701, 4000])]
    np.testing.assert_allclose(np.concatenate([*parts, processor.flush()]), whole, atol=1e-6)
