"""Draw the picture of a capture's report: waveforms, spectrograms, errors, and the validation errors over time."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import numpy as np

from neural_fx.arrays import Audio
from neural_fx.training.course import Course
from neural_fx.training.excerpts import lively_frames
from neural_fx.training.pairs import Pair

if TYPE_CHECKING:
    from neural_fx.training.report import Findings


LEAST = 1e-5
"""The smallest ESR, as a fraction, that the logarithmic axes show."""


def picture(pair: Pair, output: Audio, findings: Findings, title: str, course: Course | None) -> Any:
    """Return a matplotlib figure that compares a network's output with a recording.

    Args:
        pair: recording that was not trained on.
        output: output of the network for the dry recording, (samples,).
        findings: errors by band and by level.
        title: title of the picture.
        course: validation errors of the training; None leaves their curve out.
    """
    from matplotlib.figure import Figure

    curve = course is not None and len(course.points) > 1
    figure = Figure((11, 12.5 if curve else 10), layout="constrained")
    axes = figure.subplots(5 if curve else 4, 2)
    figure.suptitle(title, parse_math=False)
    error = np.where(pair.usable, output - pair.wet, 0).astype(np.float32)
    _waveforms(axes[0], pair, output)
    _spectrogram(axes[1, 0], pair.wet, pair.sample_rate, "device")
    _spectrogram(axes[1, 1], output, pair.sample_rate, "capture")
    _spectrogram(axes[2, 0], error, pair.sample_rate, "error")
    _magnitudes(axes[2, 1], pair, error)
    bands = [(f"{low:g}-{high:g}", esr) for low, high, esr in findings.by_band]
    _bars(axes[3, 0], bands, "ESR by band", "band (Hz)")
    levels = [(f"{low:.0f} to {high:.0f}", esr) for low, high, esr in findings.by_level]
    _bars(axes[3, 1], levels, "ESR by level of the playing", "RMS of the dry signal in 50 ms (dBFS)")
    if course is not None and curve:
        _curve(axes[4, 0], course)
        axes[4, 1].remove()
    return figure


def _waveforms(axes: Any, pair: Pair, output: Audio) -> None:
    ordered = lively_frames(pair, pair.sample_rate // 50)
    for axis, name, part in ((axes[0], "loudest", ordered[-1]), (axes[1], "a quiet one", ordered[len(ordered) // 3])):
        times = 1000 * np.arange(len(part)) / pair.sample_rate
        axis.plot(times, pair.wet[part], color="0.5", linewidth=2.5, label="device")
        axis.plot(times, output[part], color="tab:orange", linewidth=1, label="capture")
        axis.set(title=f"20 ms at {part[0] / pair.sample_rate:.2f} s, {name}")
        axis.set(xlabel="time (ms)", ylabel="amplitude (full scale = 1)")
        axis.legend()


def _spectrogram(axis: Any, signal: Audio, sample_rate: int, title: str) -> None:
    hiss = 1e-9 * np.random.default_rng(0).standard_normal(len(signal))  # silence has no logarithm
    *_, image = axis.specgram(signal + hiss, 1024, sample_rate, noverlap=512, vmin=-140, vmax=-40, cmap="magma")
    axis.set(title=title, xlabel="time (s)", ylabel="frequency (Hz)")
    axis.figure.colorbar(image, ax=axis, label="dB per Hz")


def _magnitudes(axis: Any, pair: Pair, error: Audio) -> None:
    times = np.arange(0, len(pair.wet), 48) / pair.sample_rate
    axis.plot(times, np.abs(pair.wet[::48]), color="0.6", label="device")
    axis.plot(times, np.abs(error[::48]), color="tab:red", label="error")
    axis.set(title="magnitude", xlabel="time (s)", ylabel="magnitude (full scale = 1)", yscale="log", ylim=(1e-5, 2))
    axis.legend()


def _bars(axis: Any, bars: list[tuple[str, float]], title: str, unit: str) -> None:
    names = [name for name, _ in bars]
    axis.bar(range(len(bars)), [100 * max(esr, LEAST) for _, esr in bars])
    axis.set_xticks(range(len(bars)), names, rotation=20)
    axis.set(title=title, xlabel=unit, ylabel="ESR (%)")
    _decades(axis, [esr for _, esr in bars])


def _curve(axis: Any, course: Course) -> None:
    minutes = [seconds / 60 for _, seconds, _ in course.points]
    axis.plot(minutes, [100 * max(esr, LEAST) for *_, esr in course.points], marker=".")
    axis.set(title="course of the training", xlabel="time (minutes)", ylabel="validation ESR (%)")
    _decades(axis, [esr for *_, esr in course.points])


def _decades(axis: Any, fractions: list[float]) -> None:
    """Make the vertical axis logarithmic between powers of ten, with plain numbers."""
    logarithms = np.log10([100 * max(esr, LEAST) for esr in fractions if np.isfinite(esr)] or [1.0])
    low = np.floor(logarithms.min() - 0.1)
    high = np.ceil(logarithms.max() + 0.01)
    axis.set(yscale="log", ylim=(10**low, 10**high))
    axis.yaxis.set_major_formatter("{x:g}")
