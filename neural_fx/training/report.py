"""What a trained capture is worth, to look at: waveforms, spectrograms, errors by band and level, and plain words."""

from __future__ import annotations

import base64
import html
from dataclasses import dataclass
from itertools import pairwise
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from neural_fx.errors import TrainingError
from neural_fx.files import replacing
from neural_fx.formats.network import Network
from neural_fx.training.loop import measure_esr, play
from neural_fx.training.pairs import Pair

Audio = NDArray[np.float32]

BANDS = (20.0, 100.0, 300.0, 1000.0, 3000.0, 8000.0, 24000.0)
"""Edges of the bands in Hz."""


@dataclass(frozen=True)
class Findings:
    """How well a network does on a recording it was not trained on.

    Attributes:
        esr: plain, full band, as a fraction.
        by_band: (low Hz, high Hz, ESR within the band).
        by_level: (dB of the dry signal's RMS below full scale, from and to, ESR of those frames).
        words: sentences.
    """

    esr: float
    by_band: tuple[tuple[float, float, float], ...]
    by_level: tuple[tuple[float, float, float], ...]
    words: tuple[str, ...]


def examine(pair: Pair, output: Audio) -> Findings:
    """Compare a network's output with a recording's target."""
    esr = measure_esr(pair, output)
    bands, levels = tuple(_by_band(pair, output)), tuple(_by_level(pair, output))
    return Findings(esr, bands, levels, tuple(_words(esr, bands, levels)))


def _by_band(pair: Pair, output: Audio) -> list[tuple[float, float, float]]:
    target = np.fft.rfft(np.where(pair.usable, pair.wet, 0))
    error = np.fft.rfft(np.where(pair.usable, output - pair.wet, 0))
    frequencies = np.fft.rfftfreq(len(pair.wet), 1 / pair.sample_rate)
    found = []
    for low, high in pairwise(BANDS):
        inside = (frequencies >= low) & (frequencies < high)
        energy = float(np.sum(np.abs(target[inside]) ** 2))
        found.append((low, high, float(np.sum(np.abs(error[inside]) ** 2)) / max(energy, 1e-12)))
    return found


def _by_level(pair: Pair, output: Audio) -> list[tuple[float, float, float]]:
    places = _frames(pair, pair.sample_rate // 20)
    dry, wet, error = (
        np.mean(np.square(s[places], dtype=np.float64), 1) for s in (pair.dry, pair.wet, output - pair.wet)
    )
    db = 10 * np.log10(dry + 1e-12)
    edges = np.quantile(db, [0, 0.25, 0.5, 0.75, 1])
    found = []
    for low, high in pairwise(edges):
        inside = (db >= low) & (db <= high)
        found.append((float(low), float(high), float(error[inside].sum() / max(wet[inside].sum(), 1e-12))))
    return found


def _frames(pair: Pair, size: int) -> NDArray[np.int64]:
    """(frames, size) places in a recording, of the frames that are usable as a whole."""
    places = np.arange(len(pair.dry) // size * size).reshape(-1, size)
    whole = places[pair.usable[places].all(1)]
    return whole if len(whole) else places


def _words(esr: float, bands: Any, levels: Any) -> list[str]:
    percent = 100 * esr
    if percent < 0.5:
        words = [f"An ESR of {percent:.2g} %: in a mix, nobody will tell it from the device."]
    elif percent < 2:
        words = [f"An ESR of {percent:.2g} %: very close; side by side, a careful ear may hear a difference."]
    elif percent < 10:
        words = [f"An ESR of {percent:.2g} %: the character is there. Train for longer, or with a larger architecture."]
    else:
        words = [f"An ESR of {percent:.2g} %: not the device yet. Look for noise, a gate, an echo or a wrong latency."]
    low, high, worst = max(bands, key=lambda band: band[2])
    if worst > 4 * esr:
        words.append(f"Weakest from {low:g} to {high:g} Hz (ESR {100 * worst:.2g} % of that band).")
    quiet, loud = levels[0][2], levels[-1][2]
    if quiet > 10 * loud:
        words.append("Much worse where you play softly: noise in the recording, or a gate in the device?")
    elif loud > 4 * quiet:
        words.append("Worse where you play hard: does something in the recording clip?")
    return words


def write_report(folder_and_stem: Path, network: Network, pair: Pair, title: str) -> Findings:
    """Write STEM.png and STEM.html: the validation part of a recording through the network.

    Raises:
        TrainingError: matplotlib is not installed.
    """
    try:
        from matplotlib.figure import Figure
    except ImportError:
        raise TrainingError("a report needs matplotlib: pip install 'neural-fx[train]'") from None
    output = play(network, pair)
    findings = examine(pair, output)
    error = np.where(pair.usable, output - pair.wet, 0).astype(np.float32)
    figure = Figure((11, 10), layout="constrained")
    axes = figure.subplots(4, 2)
    figure.suptitle(title)
    _waveforms(axes[0], pair, output)
    for axis, name, signal in (
        (axes[1, 0], "device", pair.wet),
        (axes[1, 1], "capture", output),
        (axes[2, 0], "error", error),
    ):
        hiss = 1e-9 * np.random.default_rng(0).standard_normal(len(signal))  # for the logarithm of silence
        axis.specgram(signal + hiss, 1024, pair.sample_rate, noverlap=512, vmin=-140, vmax=-40, cmap="magma")
        axis.set(title=name, ylabel="Hz")
    axes[2, 1].plot(np.abs(pair.wet[::48]), color="0.6", label="device")
    axes[2, 1].plot(np.abs(error[::48]), color="tab:red", label="error")
    axes[2, 1].set(title="magnitude", yscale="log", ylim=(1e-5, 2))
    axes[2, 1].legend()
    axes[3, 0].bar([f"{low:g}-{high:g}" for low, high, _ in findings.by_band], [100 * e for *_, e in findings.by_band])
    axes[3, 0].set(title="ESR by band", ylabel="%", yscale="log")
    axes[3, 0].tick_params(axis="x", rotation=30)
    names = [f"{low:.0f}..{high:.0f}" for low, high, _ in findings.by_level]
    axes[3, 1].bar(names, [100 * e for *_, e in findings.by_level])
    axes[3, 1].set(title="ESR by level of the playing (dBFS)", ylabel="%", yscale="log")
    png = folder_and_stem.with_suffix(".png")
    with replacing(png) as part:
        figure.savefig(part, format="png", dpi=110)
    with replacing(folder_and_stem.with_suffix(".html")) as part:
        part.write_text(_page(title, findings, png.read_bytes()), encoding="utf-8")
    return findings


def _waveforms(axes: Any, pair: Pair, output: Audio) -> None:
    places = _frames(pair, pair.sample_rate // 50)
    order = np.argsort(np.sum(np.square(pair.wet[places]), 1))
    for axis, name, frame in ((axes[0], "loudest", order[-1]), (axes[1], "a quiet one", order[len(order) // 3])):
        part = places[frame]
        axis.plot(pair.wet[part], color="0.5", linewidth=2.5, label="device")
        axis.plot(output[part], color="tab:orange", linewidth=1, label="capture")
        axis.set(title=f"20 ms, {name}")
        axis.legend()


def _page(title: str, findings: Findings, png: bytes) -> str:
    def rows(cells: Any, unit: str) -> str:
        return "".join(f"<tr><td>{a:.0f} to {b:.0f} {unit}</td><td>{100 * e:.3g} %</td></tr>" for a, b, e in cells)

    words = "".join(f"<li>{html.escape(sentence)}</li>" for sentence in findings.words)
    image = base64.b64encode(png).decode()
    return f"""<!doctype html><html lang="en"><meta charset="utf-8"><title>{html.escape(title)}</title>
<style>body{{font:16px/1.5 sans-serif;max-width:70em;margin:2em auto}}td{{padding-right:2em}}
img{{max-width:100%}}</style>
<h1>{html.escape(title)}</h1><ul>{words}</ul><img alt="waveforms, spectrograms and errors"
src="data:image/png;base64,{image}">
<h2>ESR by band</h2><table>{rows(findings.by_band, "Hz")}</table>
<h2>ESR by level of the playing</h2><table>{rows(findings.by_level, "dBFS")}</table></html>
"""
