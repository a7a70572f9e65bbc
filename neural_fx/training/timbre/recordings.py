"""Read and analyse solo recordings, split them into training and validation parts, and draw segments."""

from __future__ import annotations

import hashlib
import re
import zlib
from collections.abc import Callable, Sequence
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path
from zipfile import BadZipFile

import numpy as np

from neural_fx.arrays import Numbers
from neural_fx.audio import SUFFIXES, read_audio, resample
from neural_fx.errors import TrainingError
from neural_fx.files import replacing
from neural_fx.render.search import audio_files
from neural_fx.timbre.analysis import HOP, RATE, Analysis, analyze, best_method
from neural_fx.training.channels import mix_channels

MANY = 16
"""Number of recordings from which on every eighth, in shuffled order, is for validation.

With fewer, it is the last tenth of each.
"""
SAMPLE = re.compile(r"-sample-\d+-(recorded|played)$")
"""End of the names of a report's audio samples."""
QUIET_DB = 55.0
"""Range in dB below the loudest frame in which a frame counts as played."""


@dataclass(frozen=True)
class Solo:
    """A solo recording and its analysis.

    Attributes:
        name: name of the recording.
        audio: (samples,), float32, at 48 kHz.
        analysis: pitch, confidence and loudness of the whole recording.
    """

    name: str
    audio: Numbers
    analysis: Analysis

    @property
    def frames(self) -> int:
        """Number of whole hops of audio."""
        return len(self.audio) // HOP

    def cut(self, start: int, hops: int) -> Solo:
        """Return an excerpt, with the analysis frame at its end.

        Args:
            start: first frame.
            hops: length in hops.
        """
        a = self.analysis
        part = Analysis(*(values[start : start + hops + 1] for values in a))
        return Solo(self.name, self.audio[start * HOP : (start + hops) * HOP], part)


def find(folder: Path) -> list[Path]:
    """Return the audio files in a folder, without the audio samples of reports.

    Raises:
        TrainingError: the folder contains no audio files.
    """
    files = [p for p in audio_files(folder) if not SAMPLE.search(p.stem)]
    if not files:
        raise TrainingError(f"{folder}: holds no audio files ({', '.join(SUFFIXES)})")
    return files


def load(
    files: Sequence[Path], cache: Path | None = None, report: Callable[[int], None] = lambda n: None
) -> list[Solo]:
    """Read and analyse recordings.

    Args:
        files: audio files at any sample rate. Channels that are not empty are averaged.
        cache: folder in which to keep the analyses.
        report: called with the number of files done.

    Raises:
        AudioError: a file cannot be read.
        TrainingError: no recording has a pitch.
    """
    solos = []
    for done, path in enumerate(files, 1):
        audio, rate = read_audio(path)
        signal = resample(mix_channels(audio)[None], rate, RATE)[0]
        solos.append(Solo(path.stem, signal, _analysed(signal, path, cache)))
        report(done)
    if not any(solo.analysis.voiced.any() for solo in solos):
        raise TrainingError("no pitch found in the recordings; a timbre is learned from one instrument playing alone")
    return solos


def _analysed(signal: Numbers, path: Path, cache: Path | None) -> Analysis:
    method = best_method()
    if cache is None:
        return analyze(signal, RATE, method)
    name = f"{path.stem}-{hashlib.sha256(signal.tobytes()).hexdigest()[:12]}"
    kept = cache / (f"{name}.npz" if method == "offline" else f"{name}-{method}.npz")
    if (known := _kept(kept, 1 + len(signal) // HOP)) is not None:
        return known
    found = analyze(signal, RATE, method)
    with suppress(OSError):  # without its file, the recording is analysed again the next time
        cache.mkdir(parents=True, exist_ok=True)
        with replacing(kept) as part, part.open("wb") as file:
            np.savez(file, f0_hz=found.f0_hz, confidence=found.confidence, loudness_db=found.loudness_db)
    return found


def _kept(path: Path, frames: int) -> Analysis | None:
    """Return an analysis from its file; None if the file is missing or damaged."""
    try:
        with np.load(path, allow_pickle=False) as data:
            found = Analysis(data["f0_hz"], data["confidence"], data["loudness_db"])
    except (OSError, ValueError, KeyError, EOFError, BadZipFile, zlib.error):
        return None
    whole = all(part.shape == (frames,) and np.isfinite(part).all() for part in found)
    return found if whole else None


def split(solos: Sequence[Solo], seed: int = 0) -> tuple[list[Solo], list[Solo]]:
    """Split recordings into those to train on and those for validation.

    Args:
        solos: the recordings.
        seed: random seed for the choice.

    Returns:
        Recordings, or parts of them, for training and for validation.
    """
    if len(solos) >= MANY:
        order = np.random.default_rng(seed).permutation(len(solos))
        out = set(order[::8].tolist())
        return [s for i, s in enumerate(solos) if i not in out], [s for i, s in enumerate(solos) if i in out]
    learn, held = [], []
    for solo in solos:
        at = int(0.9 * solo.frames)
        learn.append(solo.cut(0, at))
        held.append(solo.cut(at, solo.frames - at))
    return learn, held


class Segments:
    """Draw random segments of recordings in which most frames are played.

    Args:
        solos: the recordings.
        hops: length of a segment in hops.

    Raises:
        TrainingError: no recording has such a segment.
    """

    def __init__(self, solos: Sequence[Solo], hops: int) -> None:
        self.solos, self.hops = solos, hops
        loudest = max(float(s.analysis.loudness_db.max()) for s in solos)
        starts = []
        for i, solo in enumerate(solos):
            played = np.concatenate(([0], np.cumsum(solo.analysis.loudness_db > loudest - QUIET_DB)))
            count = solo.frames - hops
            if count <= 0:
                continue
            enough = played[hops : hops + count] - played[:count] > 0.6 * hops
            starts.append(np.stack((np.full(enough.sum(), i), np.flatnonzero(enough)), 1))
        self.starts = np.concatenate(starts) if starts else np.zeros((0, 2), int)
        if not len(self.starts):
            raise TrainingError(
                f"no stretch of {hops * HOP / RATE:g} s with a tone; record longer or shorten the segment"
            )

    def draw(self, rng: np.random.Generator, count: int) -> tuple[Numbers, Numbers, Numbers, Numbers]:
        """Draw segments.

        Args:
            rng: random generator.
            count: number of segments.

        Returns:
            Audio, (count, hops * HOP), then f0 in Hz, confidence and loudness in dB, (count, hops + 1) each.
        """
        cuts = [
            self.solos[i].cut(start, self.hops) for i, start in self.starts[rng.integers(len(self.starts), size=count)]
        ]
        audio = np.stack([c.audio for c in cuts])
        f0, sure, loud = (np.stack([tuple(c.analysis)[k] for c in cuts]).astype(np.float32) for k in range(3))
        return audio, f0, sure, loud
