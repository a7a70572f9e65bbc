"""Measure the log spectral distance of notes to their own analysis and resynthesis, by kind of instrument.

    python demos/instruments/measure_notes.py [--count 120] [--held-out | --tuning] [--json] [--worst 10]

Reads the notes that `render_notes.py` wrote. The held-out notes were chosen by a hash before anything was tuned.
"""

from __future__ import annotations

import argparse
import json
import sys
import time
from pathlib import Path

import numpy as np

sys.path.insert(0, str(Path(__file__).parents[2]))

from demos.instruments.note_cache import DEFAULT_FOLDER, Note, Plan, ProgramFiles, group_of, held_out
from instruments.latent import NoteAnalyzer, log_spectral_distance, synthesize

MEASURES = ("bins", "mel", "thirds")


def choose(folder: Path, count: int, kept_out: bool, seed: int) -> list[tuple[int, Note]]:
    """Return random notes of the complete programs of a folder.

    Args:
        folder: of one SoundFont.
        count: how many notes.
        kept_out: choose among the held-out notes, else among all others.
        seed: of the choice.
    """
    plan = Plan()
    notes = [
        (program, note)
        for program in range(128)
        if ProgramFiles(folder, program).complete(plan)
        for note in plan.notes()
        if held_out(program, note.pitch) == kept_out
    ]
    order = np.random.default_rng(seed).permutation(len(notes))
    return [notes[i] for i in order[:count]]


def as_setting(value: object) -> object:
    """Return a JSON value as a setting of the analyzer: lists become tuples."""
    return tuple(value) if isinstance(value, list) else value


def main() -> None:
    """Measure and print a table."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--folder", type=Path, default=DEFAULT_FOLDER / "MuseScore_General_Full")
    parser.add_argument("--count", type=int, default=120)
    parser.add_argument("--held-out", action="store_true", help="the held-out notes, else notes for tuning")
    parser.add_argument("--seed", type=int, default=0)
    parser.add_argument("--set", nargs="*", default=[], help="settings of the analyzer, as name=value")
    parser.add_argument("--worst", type=int, default=0, help="list the worst notes")
    parser.add_argument("--chance", action="store_true", help="add the distance of two seeds of the noise")
    parser.add_argument("--json", action="store_true")
    options = parser.parse_args()
    settings = {name: as_setting(json.loads(value)) for name, value in (item.split("=") for item in options.set)}
    analyzer = NoteAnalyzer(**settings)
    rows = []
    chance = []
    seconds = 0.0
    for program, note in choose(options.folder, options.count, options.held_out, options.seed):
        sound = ProgramFiles(options.folder, program).read(note)
        if not sound.any():
            continue
        began = time.process_time()
        parameters = analyzer.analyze(sound, note.pitch)
        result = synthesize(parameters)
        seconds += time.process_time() - began
        again = synthesize(parameters, seed=1) if options.chance else result
        chance.append([log_spectral_distance(result, again, smoothing=m) for m in MEASURES])
        rows.append((program, note, [log_spectral_distance(sound, result, smoothing=m) for m in MEASURES]))
    values = np.array([row[2] for row in rows])
    groups = np.array([group_of(row[0]) for row in rows])
    table = {"all": [len(rows), *values.mean(axis=0).round(2)]}
    for group in dict.fromkeys(sorted(groups)):
        chosen = values[groups == group]
        table[group] = [len(chosen), *chosen.mean(axis=0).round(2)]
    if options.chance:
        table["two seeds"] = [len(rows), *np.mean(chance, axis=0).round(2)]
    if options.json:
        print(json.dumps({"measures": MEASURES, "table": table, "ms_per_note": 1000 * seconds / len(rows)}))
        return
    print(f"{'':22} notes   {'    '.join(MEASURES)}   ({1000 * seconds / len(rows):.0f} CPU ms per note)")
    for name, (count, *means) in table.items():
        print(f"{name:22} {count:5}  {'  '.join(f'{mean:5.2f}' for mean in means)}")
    for i in np.argsort(-values[:, 1])[: options.worst]:
        program, note, found = rows[i]
        print(program, note.pitch, note.velocity, note.hold_seconds, np.round(found, 2))


if __name__ == "__main__":
    main()
