"""Measure how many voices of a network one core plays."""

from __future__ import annotations

import time

import numpy as np

from neural_fx.networks.autoregressive.compiled import CompiledGenerator
from neural_fx.networks.autoregressive.description import Description, weight_shapes

HEADROOM = 1.5
"""How many times real time a core must reach, so that blocks arrive in time while other programs run."""


def untrained(description: Description, slots: int, instruction_set: str = "") -> CompiledGenerator:
    """Return a generator with random weights, for measurements of its speed.

    Args:
        description: of the network.
        slots: most voices.
        instruction_set: of the kernels; "" for the fastest one.
    """
    rng = np.random.default_rng(0)
    weights = {
        name: (0.1 * rng.standard_normal(shape)).astype(np.float32)
        for name, shape in weight_shapes(description).items()
    }
    return CompiledGenerator(description, weights, slots, instruction_set)


def realtime(generator: CompiledGenerator, voices: int, seconds: float = 0.1, rounds: int = 5) -> float:
    """Return the best speed of some rounds in multiples of real time, with everything that a voice needs.

    The best round counts, because other programs may interrupt the others. It takes up the generator's slots.

    Args:
        generator: with at least as many slots as voices.
        voices: that play at the same time.
        seconds: of audio in a round.
        rounds: how many.
    """
    description = generator.description
    inputs = description.inputs
    samples = round(seconds * description.signal.rate)
    frames = np.zeros((voices, 2 + samples // description.signal.hop, inputs.context or inputs.frame), np.float32)
    cycles = np.broadcast_to(0.01 * np.arange(samples), (voices, samples))
    voice = np.zeros((voices, inputs.voice), np.float32)
    slots = range(voices)
    best = np.inf
    for _ in range(rounds):
        began = time.thread_time()
        generator.generate(slots, frames, cycles, voice)
        best = min(best, time.thread_time() - began)
    return samples / description.signal.rate / best


def playable_voices(description: Description, most: int = 16) -> int:
    """Return how many voices one core of this machine plays in real time, at least 1. It takes up to a second.

    Args:
        description: of the network.
        most: voices at a time.
    """
    generator = untrained(description, most)
    found = 1
    while found < most and realtime(generator, found + 1, seconds=0.02) >= HEADROOM:
        found += 1
    return found
