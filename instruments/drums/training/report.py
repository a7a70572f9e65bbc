"""Write the report of a trained kit: distances before and after, knobs, nearest training sounds, pictures and audio."""

from __future__ import annotations

import base64
import html
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np

from instruments.drums.bands import RATE, limited
from instruments.drums.classes import CLASSES
from instruments.drums.guess import coarse
from instruments.drums.network import DrumNetwork
from instruments.drums.rendering import render_hit
from instruments.drums.sines import Sines
from instruments.drums.training.features import Features
from instruments.drums.training.measures import distances, knob_report, nearest
from instruments.drums.training.own_kit import OWN
from neural_fx.arrays import Array, Numbers
from neural_fx.files import replacing
from neural_fx.optional import need
from neural_fx.training.course import Course
from neural_fx.training.listening import data_url, player

MOST_MEASURED = 60
KNOB_SOUNDS = 28
RANDOM_SOUNDS = 56
PICTURED = 5
CLOSE_DB = 1.0
"""Random sounds nearer than this to a training sound are hardly new."""
MONOTONE = 0.95


@dataclass(frozen=True)
class Findings:
    """Measures of a kit.

    Attributes:
        held_out: whether the sounds that were measured were held out from training.
        sounds: number of these.
        before, after: distances in dB of the bundled network and of the kit, as `measures.distances`.
        knobs: as `measures.knob_report`.
        near_random, near_held_out: distance in dB to the nearest training sound, of random sounds and of held-out ones.
        words: sentences.
    """

    held_out: bool
    sounds: int
    before: dict[str, float]
    after: dict[str, float]
    knobs: dict[str, dict[str, Any]]
    near_random: Numbers
    near_held_out: Numbers
    words: tuple[str, ...]


def examine(network: DrumNetwork, bundled: DrumNetwork, features: Features, course: Course, enough: float) -> Findings:
    """Measure a kit on held-out sounds, or on its training sounds if none are held out.

    Args:
        network: of the kit.
        bundled: the network that comes with the package.
        features: of all hits.
        course: steps and time of the training.
        enough: steps that such a training usually needs.
    """
    own = features.where(features.source == OWN)
    train = own.where(own.split == "train")
    judged = judged_hits(own)
    before = distances(bundled, judged, judged.drum)
    after = distances(network, judged, judged.drum)
    knobs = knob_report(network, KNOB_SOUNDS, exact=True)
    random = np.random.default_rng(4)
    present = np.unique(train.drum)
    made = []
    for index in range(RANDOM_SOUNDS):
        drum = CLASSES[present[index % len(present)]]
        made.append(network.decode(drum, *network.sample(drum, random)).levels)
    near_random, _ = nearest(coarse(np.array(made)), coarse(train.levels), train.name)
    held = own.where(own.split == "held-out")
    near_held = nearest(coarse(held.levels), coarse(train.levels), train.name)[0] if len(held.drum) else np.zeros(0)
    parts = (before, after, knobs, near_random, near_held)
    words = _words(bool(len(held.drum)), len(judged.drum), *parts, course, enough)
    return Findings(bool(len(held.drum)), len(judged.drum), *parts, tuple(words))


def judged_hits(own: Features) -> Features:
    """Return the held-out hits, or the training hits if none are held out. At most `MOST_MEASURED`."""
    held = own.where(own.split == "held-out")
    chosen = held if len(held.drum) else own
    return chosen.where(np.arange(len(chosen.drum))[:MOST_MEASURED])


def write_report(
    path: Path, network: DrumNetwork, bundled: DrumNetwork, features: Features, course: Course, enough: float
) -> Findings:
    """Write STEM.html and STEM.png beside a kit's file.

    Args:
        path: the kit's file.
        network: of the kit.
        bundled: the network that comes with the package.
        features: of all hits.
        course: steps and time of the training.
        enough: steps that such a training usually needs.

    Raises:
        MissingPackageError: matplotlib is not installed.
        OSError: a file cannot be written.
    """
    need("matplotlib.figure", "a report")
    findings = examine(network, bundled, features, course, enough)
    shown = judged_hits(features.where(features.source == OWN))
    shown = shown.where(np.linspace(0, len(shown.drum) - 1, min(PICTURED, len(shown.drum))).astype(int))
    png = path.with_suffix(".png")
    with replacing(png) as part:
        _picture(part, shown, bundled, network, course)
    page = _page(path.stem, findings, course, png.read_bytes(), _players(shown, bundled, network))
    with replacing(path.with_suffix(".html")) as part:
        part.write_text(page, encoding="utf-8")
    return findings


def _words(
    held_out: bool,
    sounds: int,
    before: dict[str, float],
    after: dict[str, float],
    knobs: dict[str, dict[str, Any]],
    near_random: Numbers,
    near_held: Numbers,
    course: Course,
    enough: float,
) -> list[str]:
    kind = "held-out" if held_out else "training"
    words = [
        f"{sounds} {kind} sound{'' if sounds == 1 else 's'}: {after['bands']:.2f} dB from the recordings, "
        f"{before['bands']:.2f} dB with the bundled network; as audio {after['audio']:.2f} and {before['audio']:.2f} dB"
    ]
    if not held_out:
        words.append("no sounds were held out, because there are too few; the distances say nothing about new sounds")
    weak = [f"{name} {100 * row['monotone']:.0f} %" for name, row in knobs.items() if row["monotone"] < MONOTONE]
    words.append(f"knobs that do not always move one way: {', '.join(weak)}" if weak else "all knobs move one way")
    middle = float(np.median(near_random))
    text = f"random sounds are {middle:.1f} dB from the nearest training sound"
    words.append(text + (f", held-out ones {float(np.median(near_held)):.1f} dB" if len(near_held) else ""))
    if middle < CLOSE_DB:
        words.append("random sounds are hardly new: more one-shots bring more variety")
    if course.steps < enough:
        minutes = course.minutes_for(enough)
        words.append(
            f"too short: {course}; train for {minutes} minute{'s' if minutes > 1 else ''} (--minutes {minutes})"
        )
    return words


def _versions(shown: Features, index: int, networks: Sequence[DrumNetwork]) -> list[tuple[Array, Sines]]:
    """Return a hit as it was measured, and as each network makes it."""
    levels = shown.levels[index].astype(np.float32)
    sines = Sines.from_vector(shown.sines[index])
    versions = [(levels, sines)]
    drum = CLASSES[shown.drum[index]]
    for network in networks:
        hit = network.decode(drum, *network.encode(drum, levels, sines), exact=False)
        versions.append((hit.levels, hit.sines))
    return versions


def _picture(path: Path, shown: Features, bundled: DrumNetwork, network: DrumNetwork, course: Course) -> None:
    from matplotlib.figure import Figure

    figure = Figure((11, 2 + 1.8 * len(shown.drum)), layout="constrained")
    grid = figure.add_gridspec(len(shown.drum) + 1, 3)
    for row in range(len(shown.drum)):
        versions = _versions(shown, row, (bundled, network))
        for column, (version, title) in enumerate(zip(versions, ("recorded", "bundled", "trained"), strict=True)):
            axis = figure.add_subplot(grid[row, column])
            axis.imshow(limited(version[0]), origin="lower", aspect="auto", vmin=-60, vmax=0, cmap="magma")
            axis.set(xticks=[], yticks=[], title=f"{shown.name[row]}, {title}")
    axis = figure.add_subplot(grid[-1, :])
    axis.plot([at / 60 for _, at, _ in course.points], [error for _, _, error in course.points], marker=".")
    axis.set(xlabel="minutes", ylabel="distance (dB)")
    figure.savefig(path, format="png", dpi=80)


def _players(shown: Features, bundled: DrumNetwork, network: DrumNetwork) -> str:
    parts = []
    for row in range(len(shown.drum)):
        labels = ("as measured", "bundled network", "this kit")
        for version, label in zip(_versions(shown, row, (bundled, network)), labels, strict=True):
            audio = np.float32(0.9) * render_hit(*version)
            parts.append(player(f"{shown.name[row]}, {label}", data_url(audio, RATE)))
        parts.append("<br>")
    return "".join(parts)


def _page(title: str, findings: Findings, course: Course, png: bytes, players: str) -> str:
    sentences = "".join(f"<li>{html.escape(sentence)}</li>" for sentence in findings.words)
    rows = "".join(
        f"<tr><td>{html.escape(name)}<td>{100 * row['monotone']:.0f} %<td>{row['slope_median']:.2f}"
        f"<td>{row['moves_others']:.2f}"
        for name, row in findings.knobs.items()
    )
    image = base64.b64encode(png).decode()
    return (
        f"<!doctype html><meta charset=utf-8><title>{html.escape(title)}</title>"
        "<style>body{font:16px/1.5 sans-serif;max-width:70em;margin:2em auto}td,th{padding:.1em 1em;text-align:left}"
        "img{max-width:100%}figure{display:inline-block;margin:0 1em 1em 0}</style>"
        f"<h1>{html.escape(title)}</h1><p>Trained with {html.escape(str(course))}.<ul>{sentences}</ul>"
        f"<h2>Listen</h2>{players}<h2>Look</h2>"
        f"<img alt='levels of bands over time' src='data:image/png;base64,{image}'>"
        f"<h2>Knobs</h2><table><tr><th>knob<th>moves one way<th>slope<th>moves others{rows}</table>"
    )
