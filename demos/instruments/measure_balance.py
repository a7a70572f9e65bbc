"""Measure how loud every bundled timbre is at several velocities, and write `instruments/balance.json`.

python demos/instruments/measure_balance.py
"""

from __future__ import annotations

import json
from pathlib import Path

import numpy as np

import instruments
from instruments import open_instrument
from instruments.balance import note_loudness
from neural_fx.timbre import TIMBRES, timbre_card

VELOCITIES = (1, 16, 32, 48, 64, 80, 96, 112, 127)
NOTES = 9
"""Notes of each timbre, evenly spaced over the register of its recordings."""


def main() -> None:
    """Measure all timbres."""
    curves = {}
    for name in TIMBRES:
        notes = register(name)
        curves[name] = [round(note_loudness(open_instrument(name), notes, v), 2) for v in VELOCITIES]
        print(name, notes, curves[name])
    table = {
        "origin": f"demos/instruments/measure_balance.py: mean over {NOTES} notes of each register, ITU-R BS.1770",
        "velocities": VELOCITIES,
        "loudness_lufs": curves,
    }
    path = Path(instruments.__file__).with_name("balance.json")
    path.write_text(json.dumps(table, indent=1) + "\n", encoding="utf-8")


def register(timbre: str) -> list[int]:
    """Return notes from the lowest to the highest of a timbre's recordings."""
    habits = timbre_card(timbre)["habits"]
    low, high = (69 + 12 * np.log2(habits[key] / 440) for key in ("low_hz", "high_hz"))
    return [int(note) for note in np.linspace(low, high, NOTES).round()]


if __name__ == "__main__":
    main()
