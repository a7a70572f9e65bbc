"""Write the report of an instrument of a person's own: distances before and after, pictures and audio."""

from __future__ import annotations

import base64
import html
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np

from instruments.latent.distance import log_spectral_distance
from instruments.latent.files import LatentFile
from instruments.latent.frames import NoteFrames, parameters_of
from instruments.latent.network import LatentNetwork
from instruments.latent.subbands import RATE
from instruments.latent.synthesis import synthesize
from instruments.latent.training.dataset import LONG_TICKS
from instruments.latent.training.own_notes import OwnNote, loudest_db, preset_name
from neural_fx.arrays import Audio, Doubles
from neural_fx.files import replacing
from neural_fx.optional import need
from neural_fx.training.course import Course
from neural_fx.training.listening import common_gain, data_url, player

MOST_MEASURED = 24
PICTURED = 4
CLOSE_DB = 1.0

Version = tuple[str, Audio]


@dataclass(frozen=True)
class Findings:
    """Measures of an instrument.

    Attributes:
        held_out: whether the notes that were measured were held out from training.
        distances: mean log spectral distance in dB per ear-like band, by what is compared with the recordings.
        words: sentences.
    """

    held_out: bool
    distances: Mapping[str, float]
    words: tuple[str, ...]


@dataclass(frozen=True)
class Measured:
    """A note, and what plays it.

    Attributes:
        note: as it was recorded.
        versions: name and audio, the recording first.
        distances: of the others, in dB.
    """

    note: OwnNote
    versions: Sequence[Version]
    distances: Mapping[str, float]


def measure(
    notes: Sequence[OwnNote], trained: LatentFile, before: Mapping[str, Doubles], bundled: LatentNetwork | None
) -> list[Measured]:
    """Compare recordings with their own resynthesis, with the bundled network, and with the trained one.

    Args:
        notes: at most `MOST_MEASURED` of them are measured.
        trained: the file that was written.
        before: timbres of the instruments as the bundled network encodes them, by name.
        bundled: the network; None if the training did not begin with it.
    """
    found = []
    for index in np.linspace(0, len(notes) - 1, min(MOST_MEASURED, len(notes))).astype(int):
        note = notes[int(index)]
        name = preset_name(note.shot)
        versions: list[Version] = [("recording", note.shot.audio)]
        versions.append(("own resynthesis", _played(note, note.frames)))
        if bundled is not None:
            versions.append(("bundled network", _played(note, _decoded(bundled, before[name], note))))
        versions.append(("this instrument", _played(note, _decoded(trained.network, trained.presets[name], note))))
        distances = {kind: _distance(note.shot.audio, audio) for kind, audio in versions[1:]}
        found.append(Measured(note, versions, distances))
    return found


def findings_of(
    measured: Sequence[Measured], notes: Sequence[OwnNote], held_out: bool, course: Course, enough: float
) -> Findings:
    """Return the means, and sentences about them.

    Args:
        measured: of `measure`.
        notes: all notes of the person.
        held_out: whether the measured ones were held out.
        course: steps and time of the training.
        enough: steps that such a training usually needs.
    """
    kinds = list(measured[0].distances)
    means = {kind: float(np.mean([item.distances[kind] for item in measured])) for kind in kinds}
    noun = f"{len(measured)} {'held-out' if held_out else 'training'} note{'' if len(measured) == 1 else 's'}"
    parts = [f"{means['this instrument']:.2f} dB from the recordings"]
    if "bundled network" in means:
        parts.append(f"{means['bundled network']:.2f} dB before the training")
    words = [f"{noun}: {', '.join(parts)}; the analysis alone {means['own resynthesis']:.2f} dB"]
    if not held_out:
        words.append(
            "no notes were held out, because there are too few pitches; the distances say nothing of new notes"
        )
    for name in dict.fromkeys(preset_name(note.shot) for note in notes):
        own = [note.frames for note in notes if preset_name(note.shot) == name]
        if all(frames.release <= LONG_TICKS for frames in own):
            words.append(f"{name}: no note is held for a second; longer notes teach more")
        if len({frames.pitch for frames in own}) < 3:
            words.append(f"{name}: fewer than three pitches; other pitches are guessed from the bundled instruments")
    if course.steps < enough:
        minutes = course.minutes_for(enough)
        words.append(
            f"too short: {course}; train for {minutes} minute{'s' if minutes > 1 else ''} (--minutes {minutes})"
        )
    return Findings(held_out, means, tuple(words))


def write_report(path: Path, measured: Sequence[Measured], findings: Findings, course: Course) -> None:
    """Write STEM.html and STEM.png beside an instrument's file.

    Args:
        path: the instrument's file.
        measured: of `measure`.
        findings: of `findings_of`.
        course: steps and time of the training.

    Raises:
        MissingPackageError: matplotlib is not installed.
        OSError: a file cannot be written.
    """
    need("matplotlib.figure", "a report")
    chosen = np.linspace(0, len(measured) - 1, min(PICTURED, len(measured))).astype(int)
    shown = [measured[int(index)] for index in chosen]
    png = path.with_suffix(".png")
    with replacing(png) as part:
        _picture(part, shown, course)
    sentences = "".join(f"<li>{html.escape(sentence)}</li>" for sentence in findings.words)
    image = base64.b64encode(png.read_bytes()).decode()
    title = html.escape(path.stem)
    page = (
        f"<!doctype html><meta charset=utf-8><title>{title}</title>"
        "<style>body{font:16px/1.5 sans-serif;max-width:70em;margin:2em auto}img{max-width:100%}"
        "figure{display:inline-block;margin:0 1em 1em 0}</style>"
        f"<h1>{title}</h1><p>Trained with {html.escape(str(course))}.<ul>{sentences}</ul>"
        f"<h2>Listen</h2>{_players(shown)}<h2>Look</h2>"
        f"<img alt='spectrograms and the error of the training' src='data:image/png;base64,{image}'>"
    )
    with replacing(path.with_suffix(".html")) as part:
        part.write_text(page, encoding="utf-8")


def _decoded(network: LatentNetwork, timbre: Doubles, note: OwnNote) -> NoteFrames:
    frames = note.frames
    return network.play(timbre, frames.pitch, frames.velocity, frames.release, frames.end)


def _played(note: OwnNote, frames: NoteFrames) -> Audio:
    """Return frames as audio, as long and as loud as the recording."""
    audio = synthesize(parameters_of(frames, len(note.shot.audio), note.onset))[: len(note.shot.audio)]
    gain = 10 ** ((loudest_db(note.frames.levels) - loudest_db(frames.levels)) / 20) if len(frames.ticks) else 1.0
    return np.asarray(gain * audio, np.float32)


def _distance(recording: Audio, audio: Audio) -> float:
    return log_spectral_distance(recording, audio, smoothing="mel")


def _picture(path: Path, shown: Sequence[Measured], course: Course) -> None:
    from matplotlib.figure import Figure

    from neural_fx.timbre.plots import strip

    columns = len(shown[0].versions)
    figure = Figure((3 * columns, 2 + 2 * len(shown)), layout="constrained")
    grid = figure.add_gridspec(len(shown) + 1, columns)
    draw: Callable[[Any, Audio, str], None] = strip
    for row, item in enumerate(shown):
        for column, (kind, audio) in enumerate(item.versions):
            draw(figure.add_subplot(grid[row, column]), audio, f"{item.note.shot.name}, {kind}")
    axis = figure.add_subplot(grid[-1, :])
    axis.plot([at / 60 for _, at, _ in course.points], [error for _, _, error in course.points], marker=".")
    axis.set(xlabel="minutes", ylabel="distance of levels (dB)")
    figure.savefig(path, format="png", dpi=80)


def _players(shown: Sequence[Measured]) -> str:
    parts = []
    for item in shown:
        gain = common_gain([audio for _, audio in item.versions])
        for kind, audio in item.versions:
            signal = np.asarray(gain * audio, np.float32)
            parts.append(player(f"{item.note.shot.name}, {kind}", data_url(signal, RATE)))
        parts.append("<br>")
    return "".join(parts)
