"""Pack the frames of both SoundFonts into one small file, to train somewhere else.

    nice -n 19 python demos/instruments/pack_frames.py -o build/latent/frames.npz [--step 1.0] [--thinning 0.2] [--json]

Each program of each SoundFont is an instrument. Both SoundFonts hold out the same programs and pitches, because they
share samples. The file is read again, and must give the same frames within half a step.
"""

from __future__ import annotations

import argparse
import json
import sys
from pathlib import Path

sys.path.insert(0, str(Path(__file__).parents[2]))

import numpy as np

from demos.instruments import frame_cache
from instruments.latent import features
from instruments.latent.training.dataset import Dataset, InstrumentNotes, dataset_of
from instruments.latent.training.packing import load_dataset, save_dataset

SOUNDFONTS = ("MuseScore_General_Full", "FluidR3_GM")


def program_notes(folder: Path, program: int, parts: tuple[str, ...] = frame_cache.PARTS) -> InstrumentNotes | None:
    """Return the cached notes of a program, or None if there are none.

    Args:
        folder: of one SoundFont's frames.
        program: General MIDI program, from 0.
        parts: to read.
    """
    found = [part for part in parts if frame_cache.frames_path(folder, program, part).is_file()]
    notes = [note for part in found for note in frame_cache.load_frames(folder, program, part)]
    if not notes:
        return None
    return InstrumentNotes(
        name=f"{folder.name}/{program:03d}",
        notes=[note.frames for note in notes],
        held_out=frame_cache.program_held_out(program),
        held_out_pitches=frozenset(note.frames.pitch for note in notes if note.pitch_held_out),
    )


def largest_error(data: Dataset, folder: Path, index: int, program: int) -> float:
    """Return the largest difference in dB of a packed program to the cached one, above the floors.

    Args:
        data: that was packed.
        folder: of the SoundFont's frames.
        index: of the instrument.
        program: General MIDI program, from 0.
    """
    source = program_notes(folder, program, ("a",))
    assert source is not None
    worst = 0.0
    for i, note in zip(np.flatnonzero(data.instruments == index), source.notes, strict=True):
        packed = data.note(int(i))
        floor = features.floor_of(note)
        wanted = np.maximum(note.levels[np.searchsorted(note.ticks, packed.ticks)].astype(np.float64), floor)
        worst = max(worst, float(np.abs(np.maximum(packed.levels, floor) - wanted).max()))
    return worst


def main() -> int:
    """Pack, check and report."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("-o", "--out", type=Path, required=True)
    parser.add_argument("--frames", type=Path, default=frame_cache.DEFAULT_FOLDER)
    parser.add_argument("--step", type=float, default=1.0, help="of the levels in dB")
    parser.add_argument("--thinning", type=float, default=0.2, help="least distance of frames, as a share of the time")
    parser.add_argument("--json", action="store_true")
    options = parser.parse_args()
    folders = [options.frames / name for name in SOUNDFONTS]
    places = [(folder, program) for folder in folders for program in range(128)]
    kept = [place for place in places if frame_cache.frames_path(*place, "a").is_file()]
    found = (program_notes(*place, ("a",)) for place in kept)
    instruments = (notes for notes in found if notes is not None)
    options.out.parent.mkdir(parents=True, exist_ok=True)
    save_dataset(options.out, dataset_of(instruments, options.step, options.thinning))
    data = load_dataset(options.out)
    checked = range(0, len(kept), 8)
    worst = max(largest_error(data, kept[i][0], i, kept[i][1]) for i in checked)
    result = {
        "mib": round(options.out.stat().st_size / 2**20, 2),
        "instruments": len(data.names),
        "notes": data.notes,
        "frames": len(data.ticks),
        "largest_error_db": round(worst, 3),
    }
    print(json.dumps(result) if options.json else f"{options.out}: {result}")
    return 0 if worst <= options.step / 2 + 1e-6 else 1


if __name__ == "__main__":
    sys.exit(main())
