"""Measure how loud the bundled sounds are at several velocities, and write `instruments/balance.json`.

    OPENBLAS_NUM_THREADS=1 python demos/instruments/measure_balance.py [--latent] [--only marimba ...] [-o FILE]

Without `--latent`, only the timbres are measured, and what the file has of presets is dropped: it belongs to one
network's weights. Presets of the names of timbres are left out, because songs play the timbres.
"""

from __future__ import annotations

import argparse
import json
from pathlib import Path

import numpy as np

import instruments
from instruments import open_instrument
from instruments.balance import note_loudness
from instruments.latent.library import preset_names
from neural_fx.timbre import TIMBRES, timbre_card

VELOCITIES = (1, 16, 32, 48, 64, 80, 96, 112, 127)
NOTES = 9
"""Notes of each timbre, evenly spaced over the register of its recordings."""


LATENT_NOTES = (43, 60, 76)
"""Notes of each preset."""


def main() -> None:
    """Measure all sounds."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--latent", action="store_true", help="measure the presets of the latent instrument, too")
    parser.add_argument("--only", nargs="*", help="names of the presets to measure; default: all")
    parser.add_argument("-o", "--out", type=Path, default=Path(instruments.__file__).with_name("balance.json"))
    options = parser.parse_args()
    presets = [name for name in preset_names() if name not in TIMBRES] if options.latent else []
    curves = {}
    for name in (*TIMBRES, *(name for name in presets if not options.only or name in options.only)):
        notes = register(name) if name in TIMBRES else list(LATENT_NOTES)
        curves[name] = [round(note_loudness(open_instrument(name), notes, v), 2) for v in VELOCITIES]
        print(name, notes, curves[name])
    table = {
        "origin": f"demos/instruments/measure_balance.py: mean over {NOTES} notes of each register, ITU-R BS.1770; "
        f"presets: {len(LATENT_NOTES)} notes",
        "velocities": VELOCITIES,
        "loudness_lufs": curves,
    }
    options.out.write_text(json.dumps(table, indent=1) + "\n", encoding="utf-8")


def register(timbre: str) -> list[int]:
    """Return notes from the lowest to the highest of a timbre's recordings."""
    habits = timbre_card(timbre)["habits"]
    low, high = (69 + 12 * np.log2(habits[key] / 440) for key in ("low_hz", "high_hz"))
    return [int(note) for note in np.linspace(low, high, NOTES).round()]


if __name__ == "__main__":
    main()
