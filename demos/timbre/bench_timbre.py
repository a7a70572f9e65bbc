# ruff: noqa: E402 - threads are set before numpy is imported
"""Measure how fast timbres run: the effect offline and in blocks, and the instrument with one to eight voices.

    python demos/timbre/bench_timbre.py [--timbre violin] [--rounds 5]

Prints times real time on one thread as lines of JSON: median, minimum and maximum over the rounds. The cases run in
turns, so that a change of the machine's load affects all of them.
"""

from __future__ import annotations

import argparse
import json
import os
import statistics
import time
from collections.abc import Callable

for name in ("OMP_NUM_THREADS", "OPENBLAS_NUM_THREADS", "MKL_NUM_THREADS"):
    os.environ.setdefault(name, "1")

import mido
import numpy as np

from instruments import DDSP
from neural_fx.timbre import TimbreTransfer

RATE, SECONDS = 48000, 10.0


def voice() -> np.ndarray:
    """Return ten seconds of a wavering tone with pauses."""
    t = np.arange(int(RATE * SECONDS)) / RATE
    turns = np.cumsum(330 * 2 ** (np.sin(2 * np.pi * 0.3 * t) / 2 + np.sin(2 * np.pi * 5 * t) / 50)) / RATE
    tone = sum(np.sin(2 * np.pi * k * turns) / k for k in range(1, 15))
    return (0.1 * tone * (np.sin(2 * np.pi * 0.4 * t) > -0.7)).astype(np.float32)


def blocks(effect: TimbreTransfer, audio: np.ndarray, size: int) -> None:
    """Process audio as a stream.

    Args:
        effect: the effect.
        audio: (samples,).
        size: samples of a block.
    """
    effect.reset()
    for at in range(0, len(audio), size):
        effect(audio[at : at + size], RATE, size, reset=False)


def chord(voices: int) -> list[mido.Message]:
    """Return note-on messages for a number of held notes."""
    return [mido.Message("note_on", note=55 + 5 * i, velocity=90, time=0.01 * i) for i in range(voices)]


def main() -> None:
    """Measure all cases and print the results."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--timbre", default="violin")
    parser.add_argument("--rounds", type=int, default=5)
    options = parser.parse_args()
    audio, effect, instrument = voice(), TimbreTransfer(options.timbre), DDSP(options.timbre)
    kinds: dict[str, Callable[[], object]] = {
        "effect, one call": lambda: effect(audio, RATE),
        "effect, blocks of 256": lambda: blocks(effect, audio, 256),
        "effect, blocks of 64": lambda: blocks(effect, audio, 64),
    }
    for voices in (1, 4, 8):
        kinds[f"instrument, {voices} voices"] = lambda voices=voices: instrument(chord(voices), SECONDS, RATE)
    spent: dict[str, list[float]] = {kind: [] for kind in kinds}
    for _ in range(options.rounds + 1):
        for kind, work in kinds.items():
            began = time.perf_counter()
            work()
            spent[kind].append(SECONDS / (time.perf_counter() - began))
    for kind, speeds in spent.items():
        rest = speeds[1:]  # the first warms up
        found = {"median": statistics.median(rest), "min": min(rest), "max": max(rest)}
        print(json.dumps({"what": kind, **{key: round(value, 1) for key, value in found.items()}}))


if __name__ == "__main__":
    main()
