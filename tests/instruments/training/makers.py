"""Make folders of one-shots."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import soundfile

from instruments.drums.synthesis import synthesize
from neural_fx.arrays import Audio

RATE = 48000


def tone(midi: float, seconds: float = 0.6, seed: int = 0) -> Audio:
    """Return a plucked note with twelve harmonics, whose levels depend on the seed."""
    times = np.arange(round(seconds * RATE)) / RATE
    hz = 440 * 2 ** ((midi - 69) / 12)
    levels = np.random.default_rng(seed).uniform(0.3, 1, 12) / np.arange(1, 13)
    audio = sum(level * np.sin(2 * np.pi * hz * k * times) for k, level in enumerate(levels, 1) if hz * k < 20000)
    envelope = np.minimum(1, times / 0.005) * np.exp(-4 * times)
    return np.asarray(0.3 * audio * envelope, np.float32)


def write(folder: Path, name: str, audio: Audio, rate: int = RATE) -> None:
    """Write a sound as a float WAV file, and make its folder."""
    path = folder / name
    path.parent.mkdir(parents=True, exist_ok=True)
    soundfile.write(path, audio.T, rate, subtype="FLOAT")


def drum_folder(folder: Path, each: int = 3) -> Path:
    """Write a folder of kicks, snares and hats, and return it."""
    for drum in ("kick", "snare", "closed_hat"):
        for number in range(each):
            write(folder, f"{drum.replace('_', ' ')} {number:02d}.wav", 0.8 * synthesize(drum, 500 + number))
    return folder
