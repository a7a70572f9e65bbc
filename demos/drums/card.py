"""Write the data card of the drums' network: its sounds, their licences, its measures, and what it cannot do.

    python -m demos.drums.card REPORT.json TRAINING.json --machine "one H200 GPU" --cpu-minutes 30 \\
        [--cache FOLDER] -o drums.card.json

The first report is that of `evaluate`, and the second that of `train`, which it writes beside the network.
"""

from __future__ import annotations

import argparse
import json
from collections import Counter
from pathlib import Path
from typing import Any

from demos.drums.dataset import load_features
from demos.drums.hit_store import DEFAULT_CACHE
from neural_fx.files import replacing

LICENCE = "MIT (MuseScore General, Fluid R3), CC0 (Sonic Pi samples), our own synthesiser"
CREDITS = (
    "MuseScore General: S. Christian Collins, Michael Cowgill, Frank Wen, Michael Schorsch and others; "
    "Fluid R3: Frank Wen and contributors; Sonic Pi's samples: their authors on freesound.org"
)
LIMITS = (
    "One stroke for each layer: no rolls, brushes or flams. Mono. At most one sine in each octave: the beating of "
    "cymbals and bells is noise. Hits end after 3 s. Rare classes, such as shaker and tambourine, come mostly from the "
    "synthesiser. Energy more than 30 dB below the rest moves no balance."
)


def card(
    report: dict[str, Any], training: dict[str, Any], sources: Counter[str], machine: str, cpu_minutes: float
) -> dict[str, Any]:
    """Return the card.

    Args:
        report: of `evaluate`.
        training: report of `train`.
        sources: number of recorded training hits by source.
        machine: that trained.
        cpu_minutes: of CPU time that synthesised hits beside the training.
    """
    knobs = report["knobs"]
    return {
        "name": "drums",
        "data": ", ".join(f"{count} hits of {source}" for source, count in sorted(sources.items())),
        "licence": LICENCE,
        "credits": CREDITS,
        "split": "groups of alike hits, an eighth held out; Hydrogen's rumpf_kit (CC-BY 3.0) only tests",
        "architecture": (
            f"VAE of bands (96 x 144) and eight sines: z of {training['size']['latent']}, 14 classes, 7 knobs, decoder "
            f"{training['size']['hidden']} wide; numpy, half precision"
        ),
        "training": {
            "command": "bash demos/drums/gpu_drums.sh",
            "steps": training["steps"],
            "varied_hits": training["varied"],
            "minutes": training["minutes"],
            "cpu_minutes": cpu_minutes,
            "machine": machine,
        },
        "held_out": {
            "distance_db": report["distance_db"],
            "descent_db": report["descent_db"],
            "knobs": {
                name: {field: row[field] for field in ("monotone", "correlation", "slope_median", "moves_others")}
                for name, row in knobs.items()
            },
            "likeness": report["likeness"],
        },
        "measure": "log-spectral distance of bands and of audio in dB; knobs of random sounds over five positions",
        "limits": LIMITS,
    }


def main() -> None:
    """Write the card."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("report", type=Path)
    parser.add_argument("training", type=Path)
    parser.add_argument("--machine", required=True)
    parser.add_argument("--cpu-minutes", type=float, required=True, help="of synthesising hits beside the training")
    parser.add_argument("--cache", type=Path, default=DEFAULT_CACHE)
    parser.add_argument("-o", "--out", type=Path, required=True)
    options = parser.parse_args()
    features = load_features(options.cache)
    sources = Counter(str(source) for source in features.source[features.split == "train"])
    report = json.loads(options.report.read_text(encoding="utf-8"))
    with replacing(options.out) as part:
        training = json.loads(options.training.read_text(encoding="utf-8"))
        found = card(report, training, sources, options.machine, options.cpu_minutes)
        part.write_text(json.dumps(found, indent=1) + "\n", encoding="utf-8")


if __name__ == "__main__":
    main()
