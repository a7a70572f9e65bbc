"""What a trained timbre is worth, to look at and listen to: measures, spectrograms, curves, samples."""

from __future__ import annotations

import base64
import html
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np

from neural_fx.files import replacing
from neural_fx.render import write_audio
from neural_fx.timbre.analysis import HOP, RATE, analyze
from neural_fx.timbre.files import read_timbre
from neural_fx.timbre.plots import strip
from neural_fx.training.timbre.evaluate import Measures, excerpts, measure, resynthesise, sines, untrained
from neural_fx.training.timbre.loop import Trainer
from neural_fx.training.timbre.recordings import Solo


@dataclass(frozen=True)
class Findings:
    """Measures on recordings that were held out.

    Attributes:
        timbre: of the trained one.
        untrained, sine: baselines: random weights, and a sine of the same pitch and loudness.
        words: sentences.
    """

    timbre: Measures
    untrained: Measures
    sine: Measures
    words: tuple[str, ...]

    def as_dict(self) -> dict[str, dict[str, float]]:
        """For a card."""
        return {name: getattr(self, name).as_dict() for name in ("timbre", "untrained", "sine")}


def examine(path: Path, held_out: Sequence[Solo]) -> tuple[Findings, list[Solo], list[Any]]:
    """Measure a timbre file on recordings it was not trained on; also the excerpts and what it makes of them."""
    timbre = read_timbre(path)
    pieces = excerpts(held_out)
    outputs = [resynthesise(timbre, piece.analysis) for piece in pieces]
    own = measure(pieces, outputs)
    bare = measure(pieces, [sines(piece.analysis) for piece in pieces])
    random = measure(pieces, [untrained(timbre.decoder.shape, piece.analysis) for piece in pieces])
    words = [
        f"loudness within {own.loudness_l1_db:.2f} dB ({own.loudness_l1:.3f} standard deviations), "
        f"pitch within {own.f0_l1:.3f} semitones ({100 * own.within_50_cents:.1f} % of frames within 50 cents)",
        f"spectral loss {own.spectral_loss:.2f}; untrained {random.spectral_loss:.2f}, a sine {bare.spectral_loss:.2f}",
    ]
    if own.seconds < 20:
        words.append("few held-out seconds: record more to trust these numbers")
    if own.spectral_loss > 0.7 * random.spectral_loss:
        words.append("it has hardly learned: train longer, and use recordings of one instrument without others")
    return Findings(own, random, bare, tuple(words)), pieces, outputs


def write_report(path: Path, trainer: Trainer) -> Findings:
    """STEM.html, STEM.png and STEM-sample-N-{recorded,played}.flac beside a timbre file."""
    findings, pieces, outputs = examine(path, trainer.held_out)
    stem = path.with_suffix("")
    for i in range(min(3, len(pieces))):
        for kind, audio in (("recorded", pieces[i].audio), ("played", outputs[i])):
            quiet = np.asarray(audio * min(1.0, 0.99 / max(float(np.abs(audio).max()), 1e-9)), np.float32)
            write_audio(Path(f"{stem}-sample-{i + 1}-{kind}.flac"), quiet[None], RATE)
    with replacing(stem.with_suffix(".png")) as part:
        _plot(part, pieces[0], outputs[0])
    picture = base64.b64encode(stem.with_suffix(".png").read_bytes()).decode()
    rows = "".join(
        f"<tr><td>{name}<td>{m.loudness_l1:.3f}<td>{m.loudness_l1_db:.2f}<td>{m.f0_l1:.3f}"
        f"<td>{100 * m.within_50_cents:.1f} %<td>{m.spectral_loss:.2f}"
        for name, m in (("timbre", findings.timbre), ("untrained", findings.untrained), ("sine", findings.sine))
    )
    said = "".join(f"<p>{html.escape(sentence)}" for sentence in findings.words)
    page = (
        f"<!doctype html><meta charset=utf-8><title>{html.escape(stem.name)}</title>"
        "<style>body{font:16px sans-serif;max-width:60em;margin:2em auto}td,th{padding:.2em 1em}</style>"
        f"<h1>{html.escape(stem.name)}</h1>{said}<table><tr><th><th>loudness L1<th>dB<th>f0 L1, semitones"
        f"<th>within 50 cents<th>spectral loss{rows}</table><img width='100%' src='data:image/png;base64,{picture}'>"
    )
    with replacing(stem.with_suffix(".html")) as part:
        part.write_text(page, encoding="utf-8")
    return findings


def _plot(path: Path, piece: Solo, output: Any) -> None:
    from matplotlib.figure import Figure

    figure = Figure((11, 11), layout="constrained")
    axes = figure.subplots(4, 1, sharex=True)
    for axis, audio, title in ((axes[0], piece.audio, "recorded"), (axes[1], output, "played by the timbre")):
        strip(axis, audio, title)
    times = np.arange(len(piece.analysis.f0_hz)) * HOP / RATE
    heard = analyze(output, RATE)
    for found, label in ((piece.analysis, "recorded"), (heard, "played")):
        n = min(len(times), len(found.f0_hz))
        pitch = np.where(found.confidence[:n] > 0.5, found.f0_hz[:n], np.nan)
        axes[2].plot(times[:n], pitch, label=label, linewidth=1)
        axes[3].plot(times[:n], found.loudness_db[:n], label=label, linewidth=1)
    axes[2].set(ylabel="f0 in Hz", yscale="log")
    axes[3].set(ylabel="loudness in dB(A)", xlabel="seconds")
    axes[2].legend()
    figure.savefig(path, format="png", dpi=80)
