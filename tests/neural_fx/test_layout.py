"""Functions that take arrays take and refuse the same ones as processors."""

from __future__ import annotations

import math
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import soundfile
import torch

import neural_fx
from neural_fx.audio import resample
from neural_fx.errors import AudioError, NeuralFXError
from neural_fx.layout import channels_first
from neural_fx.render import write_audio
from neural_fx.timbre import analyze
from neural_fx.timbre.analysis import RATE
from tests.conftest import noise

TONE = np.stack([np.sin(2 * np.pi * hz * np.arange(RATE // 2) / RATE) for hz in (220.0, 220.0)]) * 0.3


def test_an_analysis_does_not_depend_on_the_layout() -> None:
    mono = analyze(TONE[0], RATE, "live")
    assert np.median(mono.f0_hz) == pytest.approx(220, abs=0.5)
    for audio in (TONE, TONE.T, TONE.T.astype(np.float32), np.asfortranarray(TONE), TONE[:1].T):
        found = analyze(audio, RATE, "live")
        np.testing.assert_allclose(found.f0_hz, mono.f0_hz, rtol=1e-4)
        np.testing.assert_allclose(found.loudness_db, mono.loudness_db, atol=0.01)
    other = analyze(TONE.T.astype(np.float32), 44100, "live")
    assert np.median(other.f0_hz) == pytest.approx(220 * 44100 / RATE, abs=0.5)
    for nothing in (np.zeros(0), np.zeros((2, 0)), np.zeros((0, 2))):
        assert len(analyze(nothing, RATE, "live").f0_hz) == 1


def test_an_analysis_refuses_rates_and_methods_that_make_no_sense() -> None:
    for rate in (0, -1, math.nan, math.inf, "48000", None, True):
        with pytest.raises(NeuralFXError, match="sample_rate"):
            analyze(TONE, rate, "live")  # type: ignore[arg-type]
    with pytest.raises(NeuralFXError, match=r"did you mean 'offline'\?"):
        analyze(TONE, RATE, "ofline")


REFUSED: dict[str, tuple[Any, type[Exception], str]] = {
    "list": ([0.1, 0.2], TypeError, r"got list; convert it with np\.asarray"),
    "tuple": ((0.1, 0.2), TypeError, "got tuple"),
    "tensor": (torch.zeros(8), TypeError, r"got Tensor; convert it with \.detach\(\)\.cpu\(\)\.numpy\(\)"),
    "int16": (np.zeros(8, np.int16), TypeError, "got int16; divide integer samples by their full scale"),
    "complex": (np.zeros(8, np.complex64), TypeError, "got complex64"),
    "float16": (np.zeros(8, np.float16), TypeError, "got float16"),
    "bool": (np.zeros(8, bool), TypeError, "got bool"),
    "text": ("audio.wav", TypeError, "got str"),
    "none": (None, TypeError, "got NoneType"),
    "3-D": (np.zeros((1, 2, 3)), RuntimeError, r"must be 1 or 2 \(got 3\)"),
    "0-D": (np.zeros(()), RuntimeError, r"must be 1 or 2 \(got 0\)"),
    "square": (np.zeros((4, 4)), RuntimeError, "Unable to determine channel layout"),
}


@pytest.mark.parametrize("name", list(REFUSED))
def test_everything_that_takes_audio_refuses_the_same(name: str, tmp_path: Path) -> None:
    array, error, words = REFUSED[name]
    takers: list[Callable[[Any], object]] = [
        lambda audio: neural_fx.Pedalboard([])(audio, 48000),
        lambda audio: analyze(audio, RATE, "live"),
        lambda audio: write_audio(tmp_path / "out.wav", audio, 48000),
        channels_first,
    ]
    if name != "square":
        takers.append(lambda audio: resample(audio, 44100, 48000))
    for take in takers:
        with pytest.raises(error, match=words):
            take(array)
    assert not (tmp_path / "out.wav").exists()


def test_files_are_written_from_any_layout(tmp_path: Path) -> None:
    audio = noise(500, 2)
    for name, array in {"a": audio, "b": audio.T, "c": audio.astype(np.float64), "d": audio[0]}.items():
        write_audio(tmp_path / f"{name}.wav", array, 48000, "FLOAT")
        found = soundfile.read(tmp_path / f"{name}.wav", dtype="float32")[0].T
        np.testing.assert_array_equal(found, audio[0] if name == "d" else audio)
    for bad in (math.nan, math.inf):
        with pytest.raises(AudioError, match="NaN or infinite"):
            write_audio(tmp_path / "e.wav", np.array([0, bad]), 48000)
        with pytest.raises(NeuralFXError, match="sample_rate"):
            write_audio(tmp_path / "e.wav", audio, bad)  # type: ignore[arg-type]
    assert not (tmp_path / "e.wav").exists()


def test_rates_of_a_conversion_are_checked() -> None:
    assert resample(noise(441, 2), 44100, 48000).shape == (2, 480)
    for rates in ((0, 48000), (48000, math.nan), (48000, "44100")):
        with pytest.raises(NeuralFXError, match="rate_"):
            resample(noise(441, 2), *rates)  # type: ignore[arg-type]
    with pytest.raises(RuntimeError, match=r"\(channels, samples\)"):
        resample(noise(441)[0] if noise(441).ndim == 2 else noise(441), 44100, 48000)
