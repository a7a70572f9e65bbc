"""Analyse the notes that `render_notes.py` wrote, and keep their frames: what `train_latent.py` learns from.

    nice -n 19 python demos/instruments/extract_frames.py [--part a] [--programs 0-127] [--json]

A note takes about 0.1 CPU seconds. A run skips what is complete, so it can be interrupted.
"""

from __future__ import annotations

import os

os.environ.setdefault("OMP_NUM_THREADS", "1")
os.environ.setdefault("OPENBLAS_NUM_THREADS", "1")

import argparse
import json
import sys
from pathlib import Path

sys.path.insert(0, str(Path(__file__).parents[2]))

from rich.console import Console
from rich.progress import BarColumn, MofNCompleteColumn, Progress, TextColumn, TimeRemainingColumn

from demos.instruments import frame_cache, note_cache
from demos.instruments.render_notes import parse_programs
from instruments.latent import NoteAnalyzer
from instruments.latent.frames import NoteFrames, frames_of


def spread(programs: list[int]) -> list[int]:
    """Return programs in an order in which any beginning has all kinds of sounds."""
    return sorted(programs, key=lambda program: program * 37 % 128)


def analysed(analyzer: NoteAnalyzer, files: note_cache.ProgramFiles, part: str) -> list[NoteFrames]:
    """Return the frames of all notes of one part of a program.

    Args:
        analyzer: the settings.
        files: of the program.
        part: "a" or "b".
    """
    found = []
    for note in frame_cache.notes_of_part(part):
        parameters = analyzer.analyze(files.read(note), note.pitch)
        found.append(frames_of(parameters, note.pitch, note.velocity, frame_cache.release_sample(note)))
    return found


def main() -> int:
    """Analyse what is missing and report it."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--soundfont", default="MuseScore_General_Full", help="name of the folder of rendered notes")
    parser.add_argument("--notes", type=Path, default=note_cache.DEFAULT_FOLDER)
    parser.add_argument("--out", type=Path, default=frame_cache.DEFAULT_FOLDER)
    parser.add_argument("--part", choices=frame_cache.PARTS, default="a")
    parser.add_argument("--programs", type=parse_programs, default=list(range(128)))
    parser.add_argument("--json", action="store_true", help="print the result as JSON, without a progress bar")
    options = parser.parse_args()
    source, folder = options.notes / options.soundfont, options.out / options.soundfont
    folder.mkdir(parents=True, exist_ok=True)
    analyzer = NoteAnalyzer(use_phases=False)
    plan = note_cache.Plan()
    counts = {"analysed": 0, "skipped": 0, "not_rendered": 0}
    columns = [TextColumn("{task.description}"), BarColumn(), MofNCompleteColumn(), TimeRemainingColumn()]
    with Progress(*columns, console=Console(stderr=True), disable=options.json) as progress:
        task = progress.add_task("programs", total=len(options.programs))
        for program in spread(options.programs):
            files = note_cache.ProgramFiles(source, program)
            path = frame_cache.frames_path(folder, program, options.part)
            if path.is_file():
                counts["skipped"] += 1
            elif files.complete(plan):
                frame_cache.save_frames(path, analysed(analyzer, files, options.part))
                counts["analysed"] += 1
            else:
                counts["not_rendered"] += 1
            progress.advance(task)
    result = {"folder": str(folder), **counts}
    print(json.dumps(result) if options.json else f"{folder}: {counts}")
    return 0


if __name__ == "__main__":
    sys.exit(main())
