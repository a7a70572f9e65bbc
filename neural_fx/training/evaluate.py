"""Measure how close a network is to recordings of the device."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np

from neural_fx.engines import open_engine
from neural_fx.networks import Knobbed, Network
from neural_fx.networks.knobbed.folding import fold
from neural_fx.training.learners import MEMORY
from neural_fx.training.pairs import Pair

FEWEST = 1e-3
"""Smallest energy that a recording counts with, as a share of the median recording's energy."""


def measure_esr(pair: Pair, output: np.ndarray) -> float:
    """Return the ESR of an output over the usable samples of a pair, as a fraction.

    Args:
        pair: the recording.
        output: output of a network for the dry recording, (samples,).
    """
    target = pair.wet[pair.usable].astype(np.float64)
    return float(np.sum((target - output[pair.usable]) ** 2) / max(np.sum(target**2), 1e-12))


def evaluate_all(network: Network, pairs: Sequence[Pair], device: str = "cpu") -> float:
    """Return the mean ESR of a network over recordings, as a fraction.

    A nearly silent recording counts as if it had `FEWEST` of the median recording's energy.

    Args:
        network: the network.
        pairs: the recordings.
        device: torch device.
    """
    targets = [pair.wet[pair.usable].astype(np.float64) for pair in pairs]
    energies = np.array([target @ target for target in targets])
    errors = [np.sum((t - play(network, p, device)[p.usable]) ** 2) for t, p in zip(targets, pairs, strict=True)]
    return float(np.mean(np.array(errors) / np.maximum(energies, max(FEWEST * float(np.median(energies)), 1e-12))))


def evaluate_network(network: Network, pair: Pair, device: str = "cpu") -> float:
    """Return the ESR of a network over a recording, as a fraction.

    Args:
        network: the network.
        pair: the recording. Its knob positions are used.
        device: torch device.
    """
    return measure_esr(pair, play(network, pair, device))


def play(network: Network, pair: Pair, device: str = "cpu") -> np.ndarray:
    """Return a network's output for a dry recording, after a prewarm with silence.

    Args:
        network: the network.
        pair: the recording. Its knob positions are used.
        device: torch device.

    Returns:
        (samples,).
    """
    if isinstance(network, Knobbed):
        network, knobs = fold(network, pair.knobs, levels=False), np.zeros(0, np.float32)
    else:
        knobs = np.asarray(pair.knobs, np.float32)
    stream = open_engine(network, device).stream(1)
    stream.reset(max(network.receptive_field, MEMORY), knobs)
    x = np.concatenate((pair.dry[None], np.repeat(knobs[:, None], len(pair.dry), 1)))
    output: np.ndarray = stream.process(x[None])[0, 0]
    return output
