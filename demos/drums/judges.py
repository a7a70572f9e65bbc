"""Judge drum hits without a pretrained network: a classifier of our own, and clusters."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
import torch
from torch import nn

from instruments.drums.bands import FLOOR_DB
from instruments.drums.classes import CLASSES
from instruments.drums.guess import coarse
from instruments.drums.training.features import Features

STEPS = 700
REAL_SHARE = 0.5


class Classifier:
    """Tells the class of a hit. It learns from recorded and synthesised training sounds.

    Args:
        train: its training sounds.
    """

    def __init__(self, train: Features) -> None:
        torch.manual_seed(3)
        random = np.random.default_rng(3)
        numbers = _numbers(train.levels)
        drums = torch.tensor(train.drum)
        real = np.flatnonzero(train.source != "synthetic")
        other = np.flatnonzero(train.source == "synthetic")
        self._net = nn.Sequential(
            nn.Dropout(0.2), nn.Linear(numbers.shape[1], 96), nn.SiLU(), nn.Dropout(0.3), nn.Linear(96, len(CLASSES))
        )
        optimizer = torch.optim.AdamW(self._net.parameters(), 1e-3, weight_decay=0.05)
        for _ in range(STEPS):
            batch = np.concatenate((random.choice(real, 32), random.choice(other, 32)))
            noisy = numbers[batch] + 0.1 * torch.randn(len(batch), numbers.shape[1])
            loss = nn.functional.cross_entropy(self._net(noisy), drums[batch], label_smoothing=0.05)
            optimizer.zero_grad()
            loss.backward()
            optimizer.step()
        self._net.eval()

    @torch.no_grad()
    def classes(self, levels: np.ndarray) -> np.ndarray:
        """Return the (hits,) most likely classes."""
        return self._net(_numbers(levels)).argmax(1).numpy()

    def accuracy(self, levels: np.ndarray, drums: np.ndarray) -> float:
        """Return the share of hits whose class is recognised."""
        return float((self.classes(levels) == drums).mean())


def _numbers(levels: np.ndarray) -> torch.Tensor:
    return torch.tensor(coarse(levels) / -FLOOR_DB + 0.5)


@dataclass
class Clusters:
    """Clusters of training sounds.

    Attributes:
        centres: (clusters, values).
        counts: (clusters,) of training sounds.
    """

    centres: np.ndarray
    counts: np.ndarray

    def compare(self, sounds: np.ndarray) -> dict[str, object]:
        """Return how many clusters have another share of sounds than of training sounds, and the divergence.

        NDB counts the clusters whose shares differ at a level of 0.05 (Richardson and Weiss 2018). JS is the
        Jensen-Shannon divergence of the shares.
        """
        counts = np.bincount(assigned(sounds, self.centres), minlength=len(self.counts))
        p, q = self.counts / self.counts.sum(), counts / counts.sum()
        pooled = (self.counts + counts) / (self.counts.sum() + counts.sum())
        error = np.sqrt(pooled * (1 - pooled) * (1 / self.counts.sum() + 1 / counts.sum()))
        different = np.abs(p - q) > 1.96 * error
        middle = (p + q) / 2
        divergence = 0.5 * (_relative(p, middle) + _relative(q, middle))
        return {"ndb": f"{int(different.sum())}/{len(counts)}", "js": round(divergence, 4), "sounds": len(sounds)}


def _relative(p: np.ndarray, q: np.ndarray) -> float:
    used = p > 0
    return float((p[used] * np.log(p[used] / q[used])).sum())


def assigned(sounds: np.ndarray, centres: np.ndarray) -> np.ndarray:
    """Return the (sounds,) nearest centre of each sound."""
    squares = (centres**2).sum(1)[None] - 2 * sounds @ centres.T
    return np.asarray(squares.argmin(1))


def cluster_shares(sounds: np.ndarray, clusters: int) -> Clusters:
    """Return clusters of sounds by k-means."""
    random = np.random.default_rng(2)
    centres = sounds[random.choice(len(sounds), clusters, replace=False)]
    for _ in range(30):
        labels = assigned(sounds, centres)
        centres = np.array(
            [sounds[labels == i].mean(0) if (labels == i).any() else centres[i] for i in range(clusters)]
        )
    return Clusters(centres, np.bincount(assigned(sounds, centres), minlength=clusters))
