"""Measure how well a timbre resynthesises recordings, with the measures of the DDSP paper and baselines."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import asdict, dataclass

import numpy as np
import torch
from numpy.typing import NDArray

from neural_fx.arrays import Numbers
from neural_fx.timbre import synthesis
from neural_fx.timbre.analysis import HOP, RATE, WINDOW, Analysis, a_weight, analyze, best_method
from neural_fx.timbre.decoder import Shape
from neural_fx.timbre.files import Timbre
from neural_fx.timbre.synthesizer import Room, Score, Synthesizer
from neural_fx.training.timbre.model import TimbreModel, spectral_loss
from neural_fx.training.timbre.recordings import Solo

CLEAR = 0.85
"""Smallest confidence of a frame whose pitch is compared, as in the paper."""


@dataclass(frozen=True)
class Measures:
    """Differences between resyntheses and their recordings.

    Attributes:
        loudness_l1: mean absolute difference of the loudness, in standard deviations of the loudness of all frames.
            The paper scales its data to this unit.
        loudness_l1_db: the same in dB.
        f0_l1: mean absolute difference of the pitch in semitones, over frames whose pitch is clear in both signals, as
            in the paper.
        within_50_cents: share of these frames whose pitch is within 50 cents.
        clear: share of the frames with a clear pitch in the recording that also have one in the resynthesis.
        spectral_loss: multi-scale spectral loss.
        seconds: length of the recordings.
    """

    loudness_l1: float
    loudness_l1_db: float
    f0_l1: float
    within_50_cents: float
    clear: float
    spectral_loss: float
    seconds: float

    def as_dict(self) -> dict[str, float]:
        """Return the rounded measures for a data card."""
        return {name: round(value, 4) for name, value in asdict(self).items()}


def resynthesise(timbre: Timbre, analysis: Analysis) -> NDArray[np.float32]:
    """Synthesise an analysis with a timbre.

    Args:
        timbre: the timbre.
        analysis: pitch, confidence and loudness, (frames,) each.

    Returns:
        Audio, ((frames - 1) * HOP,).
    """
    f0, confidence, loudness = (np.asarray(part)[None] for part in analysis)
    direct = Synthesizer((timbre,)).process(Score(f0, confidence, loudness))[0, HOP:]
    return np.asarray(direct + Room(timbre.reverb).process(direct), np.float32)


def sines(analysis: Analysis) -> NDArray[np.float32]:
    """Return a sine with the pitch and loudness of an analysis, as a baseline."""
    gain = np.sqrt(2 * 10 ** (analysis.loudness_db / 10) / a_weight(analysis.f0_hz))
    amplitudes = (gain * (analysis.confidence > 0.5))[None, :, None]
    phases, _ = synthesis.turns(analysis.f0_hz[None], np.zeros(1))
    audio: NDArray[np.float32] = synthesis.harmonics(phases, amplitudes)[0]
    return audio


def untrained(shape: Shape, analysis: Analysis) -> NDArray[np.float32]:
    """Synthesise an analysis with a network of random weights, as a baseline.

    Args:
        shape: sizes of the network.
        analysis: pitch, confidence and loudness, (frames,) each.

    Returns:
        Audio, ((frames - 1) * HOP,).
    """
    torch.manual_seed(0)
    parts = [torch.from_numpy(np.asarray(part, np.float32))[None] for part in analysis]
    white = np.random.default_rng(0).uniform(-1, 1, (1, len(analysis.f0_hz) - 1, HOP)).astype(np.float32)
    with torch.no_grad():
        out: NDArray[np.float32] = TimbreModel(shape)(*parts, torch.from_numpy(white))[0].numpy()
    return out


def excerpts(solos: Sequence[Solo], seconds: float = 4.0, most: int = 20) -> list[Solo]:
    """Return excerpts of recordings in which a pitch is clear.

    Args:
        solos: the recordings.
        seconds: length of an excerpt; a shorter recording is taken whole.
        most: largest number of excerpts.
    """
    hops = round(seconds * RATE / HOP)
    found = []
    for solo in solos:
        starts = range(0, max(1, solo.frames - hops + 1), hops)
        found += [solo.cut(start, min(hops, solo.frames - start)) for start in starts]
    tonal = [s for s in found if s.analysis.voiced.mean() > 0.3]
    step = max(1, len(tonal) // most)
    return tonal[::step][:most]


def centroids(audio: Numbers, frames: Numbers) -> Numbers:
    """Return the spectral centroids of frames in Hz. Leaves out frames too near the ends.

    Args:
        audio: (samples,).
        frames: frame numbers.
    """
    half, found = WINDOW // 2, []
    for k in frames:
        part = audio[max(0, k * HOP - half) : k * HOP + half]
        if len(part) == WINDOW:
            power = np.abs(np.fft.rfft(part * np.hanning(WINDOW))) ** 2
            found.append(np.sum(power * np.fft.rfftfreq(WINDOW, 1 / RATE)) / max(power.sum(), 1e-12))
    return np.array(found)


def measure(pieces: Sequence[Solo], outputs: Sequence[Numbers]) -> Measures:
    """Compare resyntheses with their recordings.

    Args:
        pieces: the recordings.
        outputs: the resynthesis of each, (samples,).
    """
    loud, pitch, losses, kept = [], [], [], []
    spread = float(np.std(np.maximum(np.concatenate([p.analysis.loudness_db for p in pieces]), -80)))
    for piece, output in zip(pieces, outputs, strict=True):
        heard = analyze(output, RATE, best_method())
        count = (
            min(len(heard.f0_hz), len(piece.analysis.f0_hz)) - 6
        )  # the analysis windows at its ends reach beyond the excerpt
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


def _played(analysis: Analysis) -> Numbers:
    """Return which frames are not silent."""
    return np.asarray(analysis.loudness_db > -80)
