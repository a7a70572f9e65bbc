"""Plot an analysis: spectrogram, pitch, confidence, loudness."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from neural_fx.files import replacing
from neural_fx.layout import channels_first
from neural_fx.optional import need
from neural_fx.timbre.analysis import HOP, RATE, Analysis


def plot_analysis(
    path: str | Path, audio: NDArray[Any], sample_rate: float, analysis: Analysis, title: str = ""
) -> None:
    """Write a PNG of a recording and its analysis.

    Args:
        path: of the PNG.
        audio: (samples,), (channels, samples) or (samples, channels), 32- or 64-bit floats.
        sample_rate: Hz.
        analysis: what `analyze` returned for the recording.
        title: above the plot.

    Raises:
        MissingPackageError: matplotlib is not installed.
        TypeError: the audio is not a numpy array of 32- or 64-bit floats.
        RuntimeError: it is not one- or two-dimensional, or it is square.
    """
    signal = channels_first(audio).mean(0, dtype=np.float64)
    figure = need("matplotlib.figure", "a plot").Figure((11, 8), layout="constrained")
    axes = figure.subplots(3, 1, sharex=True, height_ratios=(3, 2, 2))
    strip(axes[0], signal, title, sample_rate)
    times = np.arange(len(analysis.f0_hz)) * HOP / RATE
    pitch = np.where(analysis.confidence > 0.5, analysis.f0_hz, np.nan)
    axes[0].plot(times, pitch, color="cyan", linewidth=1)
    axes[1].plot(times, pitch)
    axes[1].set(ylabel="pitch (Hz)", yscale="log")
    sure = axes[1].twinx()
    sure.plot(times, analysis.confidence, color="0.7", linewidth=0.7)
    sure.set(ylabel="confidence (0 to 1)", ylim=(0, 1.05))
    axes[2].plot(times, analysis.loudness_db)
    axes[2].set(ylabel="loudness (dB(A))", xlabel="time (s)")
    with replacing(Path(path)) as part:
        figure.savefig(part, format="png", dpi=90)


def strip(axis: Any, audio: NDArray[Any], title: str, rate: float = RATE) -> None:
    """Draw a spectrogram up to 12 kHz.

    Args:
        axis: of matplotlib.
        audio: (samples,).
        title: above it.
        rate: sample rate in Hz.
    """
    hiss = 1e-9 * np.random.default_rng(0).standard_normal(len(audio))  # the logarithm of silence is not finite
    axis.specgram(audio + hiss, 2048, rate, noverlap=1536, vmin=-140, vmax=-40, cmap="magma")
    axis.set(ylim=(0, min(12000, rate / 2)), ylabel="frequency (Hz)", title=title)
