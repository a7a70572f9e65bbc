"""Write the report of a trained capture: pictures, errors by band and level, audio and advice."""

from __future__ import annotations

import base64
import html
from dataclasses import dataclass
from itertools import pairwise
from pathlib import Path
from typing import Any

import numpy as np

from neural_fx.arrays import Audio
from neural_fx.files import replacing
from neural_fx.networks import Network
from neural_fx.optional import need
from neural_fx.training.advice import advice
from neural_fx.training.course import Course
from neural_fx.training.evaluate import measure_esr, play
from neural_fx.training.excerpts import frames, loudest_stretch
from neural_fx.training.listening import common_gain, data_url, player
from neural_fx.training.pairs import Pair

BANDS = (20.0, 100.0, 300.0, 1000.0, 3000.0, 8000.0, 24000.0)
"""Edges of the frequency bands in Hz."""
EXCERPT_SECONDS = 12.0
"""Seconds of audio in the page. Its four players take about 4 MB."""


@dataclass(frozen=True)
class Findings:
    """Errors of a network on a recording that it was not trained on.

    Attributes:
        esr: full-band ESR, as a fraction.
        by_band: low edge in Hz, high edge in Hz, and ESR of each band.
        by_level: lowest and highest RMS of the dry signal in dBFS, and ESR, of each quarter of the frames.
        words: advice, in sentences.
    """

    esr: float
    by_band: tuple[tuple[float, float, float], ...]
    by_level: tuple[tuple[float, float, float], ...]
    words: tuple[str, ...]


def examine(pair: Pair, output: Audio, course: Course | None = None, enough: float = 0.0) -> Findings:
    """Compare a network's output with a recording.

    Args:
        pair: recording that was not trained on.
        output: output of the network for the dry recording, (samples,).
        course: steps and time of the training; None if they are not known.
        enough: steps that such a training usually needs.
    """
    esr = measure_esr(pair, output)
    bands = tuple(_by_band(pair, output))
    levels = tuple(_by_level(pair, output))
    return Findings(esr, bands, levels, tuple(advice(esr, bands, levels, course, enough)))


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
    places = frames(pair, pair.sample_rate // 20)
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


def write_report(
    stem: Path, network: Network, pair: Pair, title: str, course: Course | None = None, enough: float = 0.0
) -> Findings:
    """Write a report as STEM.png and STEM.html.

    Args:
        stem: path of the files without a suffix.
        network: the capture.
        pair: recording that was not trained on.
        title: title of the page.
        course: steps and time of the training; None if they are not known.
        enough: steps that such a training usually needs.

    Returns:
        The errors that the report shows.

    Raises:
        MissingPackageError: matplotlib is not installed.
        OSError: a file cannot be written.
    """
    need("matplotlib.figure", "a report")
    from neural_fx.training.pictures import picture

    output = play(network, pair)
    findings = examine(pair, output, course, enough)
    figure = picture(pair, output, findings, title, course)
    png = Path(f"{stem}.png")
    with replacing(png) as part:
        figure.savefig(part, format="png", dpi=110)
    page = _page(title, findings, png.read_bytes(), _players(pair, output), course)
    with replacing(Path(f"{stem}.html")) as part:
        part.write_text(page, encoding="utf-8")
    return findings


def _players(pair: Pair, output: Audio) -> str:
    """Return players of the loudest excerpt: dry, device, capture and error. The last three have the same gain."""
    where = loudest_stretch(pair, EXCERPT_SECONDS)
    error = np.where(pair.usable, output - pair.wet, 0).astype(np.float32)
    heard = [pair.wet[where], output[where], error[where]]
    gain = common_gain(heard)
    dry = pair.dry[where]
    signals = {"dry": dry * common_gain([dry])}
    signals |= dict(zip(("wet: the device", "model: the capture", "error: their difference"), heard, strict=True))
    players = [
        player(label, data_url(np.asarray(signal if label == "dry" else gain * signal, np.float32), pair.sample_rate))
        for label, signal in signals.items()
    ]
    begin, end = where.start / pair.sample_rate, where.stop / pair.sample_rate
    return f"<p>From {begin:.1f} to {end:.1f} s of the validation part; device, capture and error at one gain.</p>" + (
        "".join(players)
    )


def _page(title: str, findings: Findings, png: bytes, players: str, course: Course | None) -> str:
    def rows(cells: Any, unit: str) -> str:
        return "".join(f"<tr><td>{a:.0f} to {b:.0f} {unit}</td><td>{100 * e:.3g} %</td></tr>" for a, b, e in cells)

    words = "".join(f"<li>{html.escape(sentence)}</li>" for sentence in findings.words)
    image = base64.b64encode(png).decode()
    trained = f"<p>Trained with {html.escape(str(course))}.</p>" if course is not None else ""
    return f"""<!doctype html><html lang="en"><meta charset="utf-8"><title>{html.escape(title)}</title>
<style>body{{font:16px/1.5 sans-serif;max-width:70em;margin:2em auto}}td{{padding-right:2em}}
img{{max-width:100%}}figure{{display:inline-block;margin:0 1em 1em 0}}</style>
<h1>{html.escape(title)}</h1>{trained}<ul>{words}</ul>
<h2>Listen</h2>{players}
<h2>Look</h2><img alt="waveforms, spectrograms and errors" src="data:image/png;base64,{image}">
<h2>ESR by band</h2><table>{rows(findings.by_band, "Hz")}</table>
<h2>ESR by level of the playing</h2><table>{rows(findings.by_level, "dBFS")}</table></html>
"""
