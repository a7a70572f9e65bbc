"""How well a timbre plays again what was played: the measures of the DDSP paper, and their baselines."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import asdict, dataclass
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray

from neural_fx.timbre import synthesis
from neural_fx.timbre.analysis import HOP, RATE, WINDOW, Analysis, a_weight, analyze, best_method
from neural_fx.timbre.decoder import Shape
from neural_fx.timbre.files import Timbre
from neural_fx.timbre.synthesizer import Room, Score, Synthesizer
from neural_fx.training.timbre.model import TimbreModel, spectral_loss
from neural_fx.training.timbre.recordings import Solo

Array = NDArray[Any]

CLEAR = 0.85
"""Confidence of a frame whose pitch is compared, as in the paper."""


@dataclass(frozen=True)
class Measures:
    """Of a resynthesis against its recording.

    Attributes:
        loudness_l1: mean absolute difference of the loudness in standard deviations of that of all frames, the unit
            of the paper, which centres and scales its data so.
        loudness_l1_db: the same in dB.
        f0_l1: mean absolute difference in semitones, over the frames whose pitch is clear in both, as in the paper.
        within_50_cents: share of these frames.
        clear: share of the frames with a clear pitch in the recording that have one in the resynthesis, too.
        spectral_loss: multi-scale.
        seconds: of recordings.
    """

    loudness_l1: float
    loudness_l1_db: float
    f0_l1: float
    within_50_cents: float
    clear: float
    spectral_loss: float
    seconds: float

    def as_dict(self) -> dict[str, float]:
        """Rounded, for a card."""
        return {name: round(value, 4) for name, value in asdict(self).items()}


def resynthesise(timbre: Timbre, analysis: Analysis) -> NDArray[np.float32]:
    """What a timbre makes of an analysis: ((frames - 1) * HOP,) samples."""
    f0, confidence, loudness = (np.asarray(part)[None] for part in analysis)
    direct = Synthesizer((timbre,)).process(Score(f0, confidence, loudness))[0, HOP:]
    return np.asarray(direct + Room(timbre.reverb).process(direct), np.float32)


def sines(analysis: Analysis) -> NDArray[np.float32]:
    """The input itself as bare as it comes: a sine of its pitch and loudness."""
    gain = np.sqrt(2 * 10 ** (analysis.loudness_db / 10) / a_weight(analysis.f0_hz))
    amplitudes = (gain * (analysis.confidence > 0.5))[None, :, None]
    phases, _ = synthesis.turns(analysis.f0_hz[None], np.zeros(1))
    audio: NDArray[np.float32] = synthesis.harmonics(phases, amplitudes)[0]
    return audio


def untrained(shape: Shape, analysis: Analysis) -> NDArray[np.float32]:
    """What a network with random weights makes of an analysis."""
    torch.manual_seed(0)
    parts = [torch.from_numpy(np.asarray(part, np.float32))[None] for part in analysis]
    white = np.random.default_rng(0).uniform(-1, 1, (1, len(analysis.f0_hz) - 1, HOP)).astype(np.float32)
    with torch.no_grad():
        out: NDArray[np.float32] = TimbreModel(shape)(*parts, torch.from_numpy(white))[0].numpy()
    return out


def excerpts(solos: Sequence[Solo], seconds: float = 4.0, most: int = 20) -> list[Solo]:
    """The loudest stretch of each of some recordings; several of long ones."""
    hops = round(seconds * RATE / HOP)
    found = []
    for solo in solos:
        starts = range(0, max(1, solo.frames - hops + 1), hops)
        found += [solo.cut(start, min(hops, solo.frames - start)) for start in starts]
    tonal = [s for s in found if s.analysis.voiced.mean() > 0.3]
    step = max(1, len(tonal) // most)
    return tonal[::step][:most]


def centroids(audio: Array, frames: Array) -> Array:
    """Spectral centroids in Hz at some frames, given by their numbers; those too near the ends are left out."""
    half, found = WINDOW // 2, []
    for k in frames:
        part = audio[max(0, k * HOP - half) : k * HOP + half]
        if len(part) == WINDOW:
            power = np.abs(np.fft.rfft(part * np.hanning(WINDOW))) ** 2
            found.append(np.sum(power * np.fft.rfftfreq(WINDOW, 1 / RATE)) / max(power.sum(), 1e-12))
    return np.array(found)


def measure(pieces: Sequence[Solo], outputs: Sequence[Array]) -> Measures:
    """Compare outputs with their recordings."""
    loud, pitch, losses, kept = [], [], [], []
    spread = float(np.std(np.maximum(np.concatenate([p.analysis.loudness_db for p in pieces]), -80)))
    for piece, output in zip(pieces, outputs, strict=True):
        heard = analyze(output, RATE, best_method())
        count = min(len(heard.f0_hz), len(piece.analysis.f0_hz)) - 6  # its ends look past the piece
        here = slice(6, count)
        wanted = Analysis(*(part[here] for part in piece.analysis))
        got = Analysis(*(part[here] for part in heard))
        loud.append(np.abs(got.loudness_db - wanted.loudness_db)[_played(wanted)])
        clear = wanted.confidence >= CLEAR
        both = clear & (got.confidence >= CLEAR)
        kept.append(both[clear])
        pitch.append(np.abs(12 * np.log2(got.f0_hz[both] / wanted.f0_hz[both])))
        a, b = (torch.from_numpy(np.asarray(x[: len(output)], np.float32))[None] for x in (output, piece.audio))
        losses.append(float(spectral_loss(a, b)))
    semitones, db = np.concatenate(pitch), np.concatenate(loud)
    return Measures(
        float(db.mean()) / spread,
        float(db.mean()),
        float(semitones.mean()),
        float(np.mean(semitones < 0.5)),
        float(np.mean(np.concatenate(kept))),
        float(np.mean(losses)),
        sum(len(p.audio) for p in pieces) / RATE,
    )


def _played(analysis: Analysis) -> Array:
    """Frames that are not silence."""
    return np.asarray(analysis.loudness_db > -80)
