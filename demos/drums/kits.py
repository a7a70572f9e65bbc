"""Choose the hits of the kits that come with the drums' network."""

from __future__ import annotations

import numpy as np

from instruments.drums.classes import CLASSES
from instruments.drums.training.features import Features

KITS = {
    "studio": ("Standard", "Room", "Power", "Jazz"),
    "electronic": ("TR-808", "Electronic", "bd_", "elec_", "sn_"),
}
"""The kits by name: the beginnings of the names of hits that they prefer, the first one first."""


def kit_presets(numbers: np.ndarray, hits: Features) -> dict[str, np.ndarray]:
    """Return the (14, 23) numbers of each kit: for each class a hit with a fitting name, else the class's typical hit.

    Args:
        numbers: (hits, 23) z and knobs.
        hits: that they belong to.
    """
    found = {}
    for kit, beginnings in KITS.items():
        rows = []
        for index in range(len(CLASSES)):
            members = np.flatnonzero((hits.drum == index) & (hits.source != "synthetic"))
            if kit == "electronic" and not any(str(name).startswith(beginnings) for name in hits.name[members]):
                members = np.flatnonzero((hits.drum == index) & (hits.source == "synthetic"))
            fitting = members
            for beginning in beginnings:
                named = [member for member in members if str(hits.name[member]).startswith(beginning)]
                if named:
                    fitting = np.array(named)
                    break
            # The most typical of the fitting hits: nearest to their median.
            distance = np.abs(numbers[fitting] - np.median(numbers[fitting], 0)).sum(1)
            rows.append(numbers[fitting[distance.argmin()]])
        found[kit] = np.array(rows)
    return found
