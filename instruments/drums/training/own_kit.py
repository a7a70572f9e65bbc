"""Prepare a person's one-shots for training, and choose the sounds of the kit that is written."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
import torch

from instruments.drums.classes import CLASSES
from instruments.drums.knobs import measured_knobs
from instruments.drums.network import DrumNetwork
from instruments.drums.training.features import Features, joined
from instruments.drums.training.hits import Hit, distances_to, fingerprint, grouped, trimmed
from instruments.drums.training.losses import level_loss, sine_loss
from instruments.drums.training.model import DrumAutoencoder
from instruments.drums.training.trainer import BUNDLED, MADE, as_played
from instruments.training.contract import OneShot, Related
from neural_fx.arrays import Array

OWN = "own"
"""Name of the kit in the file, and source of a person's own hits."""
HELD_OUT_SHARE = 1 / 8
LEAST_GROUPS = 6
"""Groups of sounds from which on some are held out."""
REFINING_STEPS = 150
REFINING_RATE = 0.05
PRIOR_WEIGHT = 1e-3
_STUDIO = "studio"


def related_hits(shots: Sequence[OneShot]) -> list[Related]:
    """Return duplicates and relatives among one-shots of the same class."""
    prints = np.array([fingerprint(_cut(shot)) for shot in shots])
    found = []
    groups = grouped([shot.kind for shot in shots], prints)
    for index, group in enumerate(groups):
        if group is not None:
            found.append(Related(group))
            continue
        earlier = [i for i in range(index) if groups[i] is not None and shots[i].kind == shots[index].kind]
        nearest = earlier[int(distances_to(prints[index], prints[earlier]).argmin())]
        found.append(Related(groups[nearest] or 0, nearest))
    return found


def own_hits(shots: Sequence[OneShot], seed: int) -> list[Hit]:
    """Return the hits of one-shots, some of them held out.

    Args:
        shots: without duplicates.
        seed: of the choice.
    """
    groups = [related.group for related in related_hits(shots)]
    held = held_out_groups([shot.kind for shot in shots], groups, seed)
    return [
        Hit(_cut(shot), shot.kind, OWN, shot.name, shot.velocity, "held-out" if group in held else "train")
        for shot, group in zip(shots, groups, strict=True)
    ]


def held_out_groups(kinds: Sequence[str], groups: Sequence[int], seed: int) -> set[int]:
    """Choose an eighth of the groups. A class keeps at least one group for training.

    Args:
        kinds: classes of the sounds.
        groups: group of each sound.
        seed: of the choice.

    Returns:
        The groups. Empty if there are too few of them.
    """
    kind_of = dict(zip(groups, kinds, strict=True))
    if len(kind_of) < LEAST_GROUPS:
        return set()
    left = {kind: list(kind_of.values()).count(kind) for kind in set(kinds)}
    wanted = max(1, round(HELD_OUT_SHARE * len(kind_of)))
    held: set[int] = set()
    for group in np.random.default_rng(seed).permutation(sorted(kind_of)):
        kind = kind_of[int(group)]
        if len(held) < wanted and left[kind] > 1:
            held.add(int(group))
            left[kind] -= 1
    return held


def replayed(network: DrumNetwork, per_class: int, seed: int) -> Features:
    """Return random hits of a network, as training hits.

    Args:
        network: that makes them.
        per_class: number of hits of each class.
        seed: of the hits.
    """
    random = np.random.default_rng(seed)
    drums = [drum for drum in CLASSES for _ in range(per_class)]
    hits = [network.decode(drum, *network.sample(drum, random), exact=False) for drum in drums]
    return _features([(hit.levels, hit.sines.vector()) for hit in hits], drums)


def kit_numbers(model: DrumAutoencoder, bundled: DrumNetwork, hits: Features, numbers: Array) -> Array:
    """Return the (14, 23) z and knobs of the kit: of each class the most typical own hit, else that of the studio kit.

    Each z is moved by descent until the network comes closest to the hit.

    Args:
        model: the trained network.
        bundled: the network that comes with the package.
        hits: training hits.
        numbers: (hits, 23) z and knobs of these.
    """
    rows = []
    for index, drum in enumerate(CLASSES):
        own = np.flatnonzero((hits.drum == index) & ~np.isin(hits.source, MADE))
        if len(own):
            typical = np.abs(numbers[own] - np.median(numbers[own], 0)).sum(1).argmin()
            rows.append(hits.where(own[typical : typical + 1]))
        else:
            hit = bundled.decode(drum, *bundled.preset(_STUDIO, drum))
            rows.append(_features([(hit.levels, hit.sines.vector())], [drum]))
    return refined(model, joined(rows))


def refined(model: DrumAutoencoder, hits: Features) -> Array:
    """Return z and knobs of hits, (hits, 23), each z moved by descent."""
    levels = torch.tensor(hits.levels.astype(np.float32))
    sines = torch.tensor(hits.sines)
    drum = torch.tensor(hits.drum)
    with torch.no_grad():
        knobs = model.knobs(levels, drum).clamp(-0.6, 1.6)
        start, _ = model.encode(levels, sines, drum, knobs)
    z = start.clone().requires_grad_(True)
    optimizer = torch.optim.Adam([z], REFINING_RATE)
    for _ in range(REFINING_STEPS):
        decoded, decoded_sines = model.decode(z, drum, as_played(knobs))
        loss = (
            level_loss(decoded, levels) + sine_loss(decoded_sines, sines) + PRIOR_WEIGHT * (z - start).square().mean()
        )
        optimizer.zero_grad()
        (len(z) * loss).backward()  # type: ignore[no-untyped-call]
        optimizer.step()
    found = torch.cat((z.detach(), knobs), 1).numpy()
    return np.asarray(found, np.float32)


def _features(hits: Sequence[tuple[Array, np.ndarray]], drums: Sequence[str]) -> Features:
    """Return hits of the bundled network, given as levels and sines, as training hits."""
    levels = np.stack([levels for levels, _ in hits])
    count = len(hits)
    return Features(
        levels=levels.astype(np.float16),
        sines=np.stack([sines for _, sines in hits]).astype(np.float32),
        knobs=measured_knobs(levels),
        drum=np.array([CLASSES.index(drum) for drum in drums]),
        source=np.full(count, BUNDLED),
        split=np.full(count, "train"),
        name=np.array([f"{drum} {index}" for index, drum in enumerate(drums)]),
    )


def _cut(shot: OneShot) -> Array:
    cut = trimmed(shot.audio)
    return shot.audio if cut is None else cut
