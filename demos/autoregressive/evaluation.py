"""Measure networks on notes in bits per sample, beside a linear predictor."""

from __future__ import annotations

import numpy as np
import torch

from demos.autoregressive.batches import Windows
from demos.autoregressive.notes import Note
from neural_fx.networks.autoregressive.losses import class_bits
from neural_fx.networks.autoregressive.model import Autoregressive
from neural_fx.networks.autoregressive.signal import Signal

ORDER = 16
PREDICTED = 2048
"""Samples for which the linear predictor is fitted anew."""
MEASURED = 16384
"""Samples of a note that are measured, from its beginning."""


@torch.no_grad()
def network_bits(model: Autoregressive, notes: list[Note], device: torch.device, at_once: int) -> dict[str, float]:
    """Return the mean bits per sample of every instrument and of all, by name.

    Args:
        model: the network.
        notes: whose first samples are measured.
        device: of the network.
        at_once: notes in one batch.
    """
    signal = model.description.signal
    windows = Windows(notes, signal, device)
    found = []
    for start in range(0, len(notes), at_once):
        chosen = torch.arange(start, min(start + at_once, len(notes)), device=device)
        batch = windows.window(model, chosen, torch.zeros_like(chosen), MEASURED)
        outputs, _ = model(batch.previous, batch.conditions)
        bits = class_bits(outputs, batch.classes) * batch.counted
        found += (bits.sum(dim=1) / batch.counted.sum(dim=1)).tolist()
    return by_voice(notes, found, model.description.voices)


def linear_bits(notes: list[Note], signal: Signal, voices: tuple[str, ...]) -> dict[str, float]:
    """Return the bits per sample of a linear predictor of order 16, as `network_bits` does.

    It is fitted to every 2048 samples by least squares and is not charged for its coefficients. Its errors have the
    logistic distribution that fits them best, over the classes.

    Args:
        notes: whose first samples are measured.
        signal: of their classes.
        voices: names of the instruments.
    """
    edges = signal.decode(np.arange(signal.levels + 1) - 0.5)
    edges[0], edges[1], edges[-1] = -np.inf, -np.inf, np.inf
    found = []
    for note in notes:
        classes = note.classes[:MEASURED].astype(int)
        x = np.concatenate((np.zeros(ORDER), signal.decode(classes)))
        past = np.lib.stride_tricks.sliding_window_view(x, ORDER)[:-1]
        total = 0.0
        for first in range(0, len(classes), PREDICTED):
            part = slice(first, first + PREDICTED)
            rows, wanted = past[part], x[ORDER:][part]
            weights = np.linalg.solve(rows.T @ rows + 1e-6 * np.eye(ORDER), rows.T @ wanted)
            total += _logistic_bits(rows @ weights, wanted, edges[classes[part]], edges[classes[part] + 1])
        found.append(total / len(classes))
    return by_voice(notes, found, voices)


def _logistic_bits(mean: np.ndarray, wanted: np.ndarray, low: np.ndarray, high: np.ndarray) -> float:
    spread = max(float(np.abs(wanted - mean).mean()), 1e-3)
    best = np.inf
    for scale in spread * np.array([0.4, 0.55, 0.7, 0.85, 1.0]):
        above, below = _sigmoid((high - mean) / scale), _sigmoid((low - mean) / scale)
        best = min(best, float(-np.log2(np.maximum(above - below, 1e-9)).sum()))
    return best


def _sigmoid(x: np.ndarray) -> np.ndarray:
    return 0.5 + 0.5 * np.tanh(0.5 * x)


def by_voice(notes: list[Note], values: list[float], voices: tuple[str, ...]) -> dict[str, float]:
    """Return the mean of every instrument, and the mean of these as ``all``."""
    means = {}
    for index, name in enumerate(voices):
        own = [value for note, value in zip(notes, values) if note.voice == index]
        if own:
            means[name] = round(float(np.mean(own)), 4)
    means["all"] = round(float(np.mean(list(means.values()))), 4)
    return means
