"""Write the report of a trained timbre: measures, spectrograms, curves and audio samples."""

from __future__ import annotations

import base64
import html
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np

from neural_fx.errors import TrainingError
from neural_fx.files import replacing
from neural_fx.render import write_audio
from neural_fx.timbre.analysis import HOP, RATE, analyze, best_method
from neural_fx.timbre.files import read_timbre
from neural_fx.timbre.plots import strip
from neural_fx.training.course import Course
from neural_fx.training.listening import common_gain, file_url, player
from neural_fx.training.timbre.evaluate import Measures, excerpts, measure, resynthesise, sines, untrained
from neural_fx.training.timbre.loop import Trainer
from neural_fx.training.timbre.recordings import Solo


@dataclass(frozen=True)
class Findings:
    """Measures on recordings that were not trained on.

    Attributes:
        timbre: measures of the trained timbre.
        untrained, sine: measures of the baselines: random weights, and a sine of the same pitch and loudness.
        words: advice, in sentences.
    """

    timbre: Measures
    untrained: Measures
    sine: Measures
    words: tuple[str, ...]

    def as_dict(self) -> dict[str, dict[str, float]]:
        """Return the measures for a data card."""
        return {name: getattr(self, name).as_dict() for name in ("timbre", "untrained", "sine")}


def examine(
    path: Path, held_out: Sequence[Solo], course: Course | None = None, enough: float = 0.0
) -> tuple[Findings, list[Solo], list[Any]]:
    """Measure a timbre file on recordings that it was not trained on.

    Args:
        path: the timbre file.
        held_out: the recordings.
        course: steps and time of the training; None if they are not known.
        enough: steps that such a training usually needs.

    Returns:
        The findings, the excerpts that were measured, and their resyntheses.

    Raises:
        TrainingError: the recordings have no excerpt with a clear pitch.
    """
    timbre = read_timbre(path)
    pieces = excerpts(held_out)
    if not pieces:
        raise TrainingError("the validation recordings have no part with a clear pitch; record more")
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
        words.append("few seconds of validation audio: record more to trust these numbers")
    words += _advice(own.spectral_loss > 0.7 * random.spectral_loss, course, enough)
    return Findings(own, random, bare, tuple(words)), pieces, outputs


def _advice(poor: bool, course: Course | None, enough: float) -> list[str]:
    """Return what to do next. After a training that was too short, only its time is mentioned."""
    if course is not None and course.steps < enough:
        minutes = course.minutes_for(enough)
        return [f"too short: {course}; train for {minutes} minute{'s' if minutes > 1 else ''} (--minutes {minutes})"]
    if poor:
        return ["it has hardly learned: train longer, and use recordings of one instrument without others"]
    return []


def write_report(path: Path, trainer: Trainer) -> Findings:
    """Write STEM.html, STEM.png and STEM-sample-N-{recorded,played}.flac beside a timbre file.

    Args:
        path: the timbre file, which must exist.
        trainer: the trainer, after training.

    Returns:
        The measures that the report shows.

    Raises:
        TrainingError: the validation recordings have no excerpt with a clear pitch.
        AudioError: an audio sample cannot be written.
        OSError: another file cannot be written.
    """
    findings, pieces, outputs = examine(path, trainer.held_out, trainer.course, trainer.enough)
    stem = path.with_suffix("")
    players = _samples(stem, pieces[:3], outputs[:3])
    png = Path(f"{stem}.png")
    with replacing(png) as part:
        _plot(part, pieces[0], outputs[0])
    picture = base64.b64encode(png.read_bytes()).decode()
    rows = "".join(
        f"<tr><td>{name}<td>{m.loudness_l1:.3f}<td>{m.loudness_l1_db:.2f}<td>{m.f0_l1:.3f}"
        f"<td>{100 * m.within_50_cents:.1f} %<td>{m.spectral_loss:.2f}"
        for name, m in (("timbre", findings.timbre), ("untrained", findings.untrained), ("sine", findings.sine))
    )
    sentences = "".join(f"<p>{html.escape(sentence)}" for sentence in findings.words)
    page = (
        f"<!doctype html><meta charset=utf-8><title>{html.escape(stem.name)}</title>"
        "<style>body{font:16px sans-serif;max-width:60em;margin:2em auto}td,th{padding:.2em 1em}"
        "figure{display:inline-block;margin:0 1em 1em 0}</style>"
        f"<h1>{html.escape(stem.name)}</h1><p>Trained with {html.escape(str(trainer.course))}.{sentences}"
        "<table><tr><th><th>loudness L1, standard deviations<th>loudness L1, dB<th>f0 L1, semitones"
        f"<th>within 50 cents<th>spectral loss{rows}</table><h2>Listen</h2>{players}"
        f"<h2>Look</h2><img width='100%' src='data:image/png;base64,{picture}'>"
    )
    with replacing(Path(f"{stem}.html")) as part:
        part.write_text(page, encoding="utf-8")
    return findings


def _samples(stem: Path, pieces: Sequence[Solo], outputs: Sequence[Any]) -> str:
    """Write excerpts and their resyntheses to files, and return players of them."""
    players = []
    for i, (piece, output) in enumerate(zip(pieces, outputs, strict=True), 1):
        for kind, audio in (("recorded", piece.audio), ("played", output)):
            signal = np.asarray(audio, np.float32)
            file = Path(f"{stem}-sample-{i}-{kind}.flac")
            write_audio(file, (signal * common_gain([signal]))[None], RATE)
            players.append(player(f"{piece.name}, {kind}", file_url(file.name)))
        players.append("<br>")
    return "".join(players)


def _plot(path: Path, piece: Solo, output: Any) -> None:
    from matplotlib.figure import Figure

    figure = Figure((11, 11), layout="constrained")
    axes = figure.subplots(4, 1, sharex=True)
    for axis, audio, title in ((axes[0], piece.audio, "recorded"), (axes[1], output, "played by the timbre")):
        strip(axis, audio, title)
    times = np.arange(len(piece.analysis.f0_hz)) * HOP / RATE
    heard = analyze(output, RATE, best_method())
    for found, label in ((piece.analysis, "recorded"), (heard, "played")):
        n = min(len(times), len(found.f0_hz))
        pitch = np.where(found.confidence[:n] > 0.5, found.f0_hz[:n], np.nan)
        axes[2].plot(times[:n], pitch, label=label, linewidth=1)
        axes[3].plot(times[:n], found.loudness_db[:n], label=label, linewidth=1)
    axes[2].set(ylabel="pitch (Hz)", yscale="log")
    axes[3].set(ylabel="loudness (dB(A))", xlabel="time (s)")
    axes[2].legend()
    figure.savefig(path, format="png", dpi=80)
