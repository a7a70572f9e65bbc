"""Train the network of `instruments.latent` on the frames that `extract_frames.py` wrote.

    nice -n 19 python demos/instruments/train_latent.py -o latent.safetensors [--minutes 20] [--threads 1] [--json]

Encodes one to three notes of a program and decodes another one of it. Held-out programs and pitches are never seen.
Writes a checkpoint next to the output, and goes on from it. The timbres of the programs become the presets of the
file. `--frames` is a folder of one SoundFont's frames, or a file of `pack_frames.py`.
"""

from __future__ import annotations

import os

os.environ.setdefault("OMP_NUM_THREADS", "1")

import argparse
import json
import sys
import time
from dataclasses import replace
from pathlib import Path

sys.path.insert(0, str(Path(__file__).parents[2]))

import torch

from demos.instruments.latent_variants import VARIANTS
from instruments.general_midi import sound_name
from instruments.latent.files import read_network
from instruments.latent.training import Dataset, Settings, dataset_of, load_dataset, measured, train
from instruments.latent.training.model import LatentModel

FRAMES = Path("~/.cache/neural-fx/frames").expanduser()
PRESETS_FROM = "MuseScore_General_Full"
"""Collection whose programs become presets if there are several."""


def read(path: Path) -> Dataset:
    """Return the notes of a folder of frames, or of a packed file.

    Args:
        path: of either.
    """
    if path.is_file():
        return load_dataset(path)
    # Packed files can be trained on where the analysis is not installed.
    from demos.instruments.pack_frames import program_notes

    found = (program_notes(path, program) for program in range(128))
    return dataset_of(notes for notes in found if notes is not None)


def preset_names(data: Dataset) -> dict[str, str]:
    """Return the names of presets by instrument: General MIDI's, of one collection."""
    collections = {name.partition("/")[0] for name in data.names}
    chosen = PRESETS_FROM if PRESETS_FROM in collections else min(collections)
    return {name: sound_name(int(name[-3:])) for name in data.names if name.startswith(f"{chosen}/")}


def main() -> int:
    """Train for some minutes."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("-o", "--out", type=Path, required=True)
    parser.add_argument("--frames", type=Path, default=FRAMES / PRESETS_FROM)
    parser.add_argument("--minutes", type=float, default=20.0, help="of training in all, with interruptions left out")
    parser.add_argument("--until", type=float, help="Unix time at which training ends, in place of --minutes")
    parser.add_argument("--variant", choices=sorted(VARIANTS), help="settings of `latent_variants.py`")
    parser.add_argument("--notes", type=int, help="of a batch")
    parser.add_argument("--frames-per-note", type=int)
    parser.add_argument("--start", type=Path, help="file of a network to go on from, of the variant's sizes")
    parser.add_argument("--checkpoint", type=Path, help="file of the state; next to the output by default")
    parser.add_argument("--device", default="auto", help="cpu, cuda or auto")
    parser.add_argument("--threads", type=int, default=1)
    parser.add_argument("--seed", type=int, default=0)
    parser.add_argument("--measure", action="store_true", help="measure the result on held-out notes")
    parser.add_argument("--json", action="store_true", help="print each report as JSON")
    options = parser.parse_args()
    torch.set_num_threads(options.threads)
    data = read(options.frames)
    if not data.notes:
        print(f"{options.frames}: no frames; run extract_frames.py first", file=sys.stderr)
        return 1
    base = VARIANTS[options.variant] if options.variant else Settings()
    settings = replace(
        base,
        seconds=60 * options.minutes if options.until is None else options.until - time.time(),
        notes=options.notes or base.notes,
        frames=options.frames_per_note or base.frames,
        device=options.device,
        seed=options.seed,
    )
    name = options.variant or "default"

    def show(report: dict[str, object]) -> None:
        report = {"variant": name, **report}
        print(json.dumps(report) if options.json else report, flush=True)

    presets = preset_names(data)
    metadata = {
        "variant": name,
        "settings": settings.described(),
        "data": sorted({instrument.partition("/")[0] for instrument in data.names}),
        "soundfont": next(iter(presets)).partition("/")[0],
    }
    result = train(
        data,
        options.out,
        settings,
        show,
        checkpoint=options.checkpoint,
        presets=presets,
        metadata=metadata,
        start=None if options.start is None else LatentModel.of(read_network(options.start).network),
    )
    if options.measure:
        show({"steps": result.steps, "measures": measured(result)})
    return 0


if __name__ == "__main__":
    sys.exit(main())
