"""Find the timbre of every program, and add the timbres to a network's file as presets.

    nice -n 19 python demos/instruments/make_presets.py latent.safetensors -o presets.safetensors [--steps 2000]

A preset begins as it is in the file, or else as the mean of what the encoder makes of the program's long notes. Then
the timbres are moved by descent, so that the decoder, which stays as it is, comes closest to their notes. Held-out
pitches are not used. A held-out program has the timbre of one note, C4, as it is encoded. With `--every-program`, its
timbre is moved to its own notes like the others. That is for a file to play, not for one to measure.
"""

from __future__ import annotations

import os

os.environ.setdefault("OMP_NUM_THREADS", "1")

import argparse
import json
import sys
from pathlib import Path

sys.path.insert(0, str(Path(__file__).parents[2]))

import numpy as np
import torch

from demos.instruments import frame_cache
from demos.instruments.latent_notes import Notes, mean_timbre
from demos.instruments.refining import refined
from instruments.general_midi import sound_name
from instruments.latent.files import read_network, save_network
from instruments.latent.network import LatentNetwork


def encoded(network: LatentNetwork, notes: Notes, every_program: bool) -> dict[int, np.ndarray]:
    """Return the timbre of each program that has a long note.

    Args:
        network: with the encoder.
        notes: all of them.
        every_program: whether held-out programs are treated like the others.
    """
    timbres = {}
    for program in sorted(notes.by_program):
        held_out = frame_cache.program_held_out(program) and not every_program
        chosen = notes.one_note(program) if held_out else notes.training(program)
        if any(note.release > frame_cache.LONG_TICKS for note in chosen):
            timbres[program] = mean_timbre(network, chosen)
    return timbres


def main() -> int:
    """Find the timbres, and write the file."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("network", type=Path)
    parser.add_argument("-o", "--out", type=Path, required=True)
    parser.add_argument("--frames", type=Path, default=frame_cache.DEFAULT_FOLDER / "MuseScore_General_Full")
    parser.add_argument("--steps", type=int, default=2000, help="of the descent; 0 keeps what the encoder makes")
    parser.add_argument("--seed", type=int, default=0)
    parser.add_argument("--json", action="store_true")
    parser.add_argument("--every-program", action="store_true", help="move the timbres of held-out programs, too")
    options = parser.parse_args()
    torch.set_num_threads(1)
    file = read_network(options.network)
    notes = Notes(options.frames)
    timbres = encoded(file.network, notes, options.every_program)
    known = [program for program in timbres if sound_name(program) in file.presets]
    timbres.update(
        (program, file.presets[sound_name(program)]) for program in known if not frame_cache.program_held_out(program)
    )
    before = after = float("nan")
    seen = [program for program in timbres if options.every_program or not frame_cache.program_held_out(program)]
    if options.steps > 0:
        training = [notes.training(program) for program in seen]
        start = [timbres[program] for program in seen]
        found, before, after = refined(file.network, start, training, options.steps, options.seed)
        timbres.update(zip(seen, found))
    presets = {sound_name(program): timbre for program, timbre in timbres.items()}
    save_network(options.out, file.network, presets, {**file.metadata, "soundfont": options.frames.name})
    result = {"presets": len(presets), "loss_before": round(before, 4), "loss_after": round(after, 4)}
    print(json.dumps(result) if options.json else f"{options.out}: {result}")
    return 0


if __name__ == "__main__":
    sys.exit(main())
