"""Measure a network of drum hits: distances to recordings, its knobs, and how near its sounds are to others."""

from __future__ import annotations

from typing import Any

import numpy as np

from instruments.drums.bands import FLOOR_DB, band_levels, level_distance, limited, matched_distance
from instruments.drums.classes import CLASSES
from instruments.drums.knobs import KNOBS, measured_knobs
from instruments.drums.network import DrumNetwork, Hit
from instruments.drums.rendering import render_hit
from instruments.drums.sines import Sines
from instruments.drums.training.features import Features
from neural_fx.arrays import Array

POSITIONS = np.linspace(0, 1, 5)
BACKWARDS = 0.02  # of a knob's range: a smaller step back counts as measurement noise


def distances(network: DrumNetwork, features: Features, drums: np.ndarray) -> dict[str, float]:
    """Return log-spectral distances in dB of some hits, averaged.

    Args:
        network: that is measured.
        features: of the hits.
        drums: (hits,) classes to encode them with.
    """
    found: dict[str, list[float]] = {"bands": [], "audio": [], "audio_matched": [], "own_resynthesis": []}
    for index, number in enumerate(drums):
        levels = features.levels[index].astype(np.float32)
        sines = Sines.from_vector(features.sines[index])
        drum = CLASSES[number]
        z, knobs = network.encode(drum, levels, sines)
        hit = network.decode(drum, z, knobs, exact=False)
        reference = limited(levels)
        found["bands"].append(level_distance(limited(hit.levels), reference))
        heard = band_levels(render_hit(hit.levels, hit.sines))
        found["audio"].append(level_distance(limited(heard), reference))
        found["audio_matched"].append(matched_distance(heard, reference))
        again = band_levels(render_hit(levels, sines))
        found["own_resynthesis"].append(level_distance(limited(again), reference))
    return {name: round(float(np.mean(values)), 2) for name, values in found.items()}


def knob_report(network: DrumNetwork, count: int, exact: bool, as_audio: bool = False) -> dict[str, dict[str, Any]]:
    """Turn each knob of random sounds through five positions, and measure what follows.

    Args:
        network: that is measured.
        count: number of random sounds.
        exact: as for `DrumNetwork.decode`.
        as_audio: whether to measure the rendered audio and not the bands.
    """
    random = np.random.default_rng(11)
    measured = np.zeros((count, len(KNOBS), len(POSITIONS), len(KNOBS)))
    for sound in range(count):
        drum = CLASSES[sound % len(CLASSES)]
        z, own = network.sample(drum, random)
        for knob in range(len(KNOBS)):
            for step, position in enumerate(POSITIONS):
                asked = own.copy()
                asked[knob] = position
                hit = network.decode(drum, z, asked, own, exact)
                measured[sound, knob, step] = heard_knobs(network, drum, hit) if as_audio else hit.knobs
    report = {}
    for knob, name in enumerate(KNOBS):
        values = measured[:, knob, :, knob]
        centred = POSITIONS - POSITIONS.mean()
        slopes = (values * centred).sum(1) / (centred**2).sum()
        monotone = (np.diff(values, axis=1) > -BACKWARDS).all(1) & (values[:, -1] > values[:, 0])
        asked = np.broadcast_to(POSITIONS, values.shape)
        others = np.delete(measured[:, knob], knob, 2)
        moved = np.abs(others[:, -1] - others[:, 0]).mean(0)
        names = [other for other in KNOBS if other != name]
        report[name] = {
            "monotone": round(float(monotone.mean()), 3),
            "correlation": round(float(np.corrcoef(asked.ravel(), values.ravel())[0, 1]), 3),
            "slope_median": round(float(np.median(slopes)), 3),
            "slope_in_0.8_to_1.2": round(float(((slopes >= 0.8) & (slopes <= 1.2)).mean()), 3),
            "moves_others": round(float(moved.mean()), 3),
            "moves_most": f"{names[int(moved.argmax())]} {moved.max():.2f}",
        }
    return report


def heard_knobs(network: DrumNetwork, drum: str, hit: Hit) -> Array:
    """Return the scaled knobs of a hit's audio."""
    return network.scaled(measured_knobs(limited(band_levels(render_hit(hit.levels, hit.sines)))), drum)


def nearest(
    sounds: np.ndarray, others: np.ndarray, sources: np.ndarray, skip_self: bool = False
) -> tuple[np.ndarray, np.ndarray]:
    """Return the distance to the nearest of the others in dB, over the cells in which either sounds, and its source.

    Args:
        sounds: (sounds, values).
        others: (others, values).
        sources: (others,) names.
        skip_self: whether equal sounds are skipped.
    """
    found, names = [], []
    for sound in sounds:
        sounding = (sound[None] > FLOOR_DB + 3) | (others > FLOOR_DB + 3)
        distance = (np.abs(others - sound[None]) * sounding).sum(1) / np.maximum(sounding.sum(1), 1)
        if skip_self:
            distance = np.where(distance < 1e-6, np.inf, distance)
        found.append(distance.min())
        names.append(sources[distance.argmin()])
    return np.array(found), np.array(names)
