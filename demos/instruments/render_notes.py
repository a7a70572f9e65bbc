"""Render single notes of a SoundFont's General MIDI programs into a cache folder, one FLAC file per program.

    python demos/instruments/render_notes.py [--soundfont musescore] [--programs 0-127] [--out FOLDER] [--json]

Needs `fluidsynth` and a SoundFont (Debian: fluidsynth, musescore-general-soundfont-lossless, fluid-soundfont-gm).
The reverb and chorus of the synthesiser are off. A run skips programs that are complete, so it can be interrupted.
`demos/instruments/note_cache.py` describes the files and reads them.
"""

from __future__ import annotations

import argparse
import json
import shutil
import subprocess
import sys
import tempfile
from pathlib import Path

import mido
import numpy as np
import soundfile
from rich.console import Console
from rich.progress import BarColumn, MofNCompleteColumn, Progress, TextColumn, TimeRemainingColumn

sys.path.insert(0, str(Path(__file__).parents[2]))

from demos.instruments.note_cache import DEFAULT_FOLDER, GAP_SECONDS, LEAD_SECONDS, RATE, Plan, ProgramFiles
from neural_fx.files import replacing

SOUNDFONTS = {
    "musescore": (Path("/usr/share/sounds/sf2/MuseScore_General_Full.sf2"), "musescore-general-soundfont-lossless"),
    "fluid": (Path("/usr/share/sounds/sf2/FluidR3_GM.sf2"), "fluid-soundfont-gm"),
}
"""Path and Debian package of the SoundFonts known by name."""
APT = "apt-get install --no-install-recommends"
GAIN = 0.6


class MissingError(Exception):
    """Say which program or file is missing, and how to get it."""


def find_soundfont(name: str) -> Path:
    """Return the path of a SoundFont.

    Args:
        name: a key of `SOUNDFONTS`, or a path.

    Raises:
        MissingError: there is no such file.
    """
    if name in SOUNDFONTS:
        path, package = SOUNDFONTS[name]
        if not path.is_file():
            raise MissingError(f"{path} is missing; install it with: {APT} {package}")
        return path
    path = Path(name)
    if not path.is_file():
        raise MissingError(f"{path}: no such SoundFont; give a path, or one of: {', '.join(SOUNDFONTS)}")
    return path


def find_fluidsynth() -> str:
    """Return the path of the synthesiser.

    Raises:
        MissingError: it is not installed.
    """
    found = shutil.which("fluidsynth")
    if found is None:
        raise MissingError(f"fluidsynth is missing; install it with: {APT} fluidsynth")
    return found


def midi_file(program: int, plan: Plan) -> mido.MidiFile:
    """Return a MIDI file that plays every note of the plan in its own slot. One tick is a millisecond.

    Args:
        program: General MIDI program, from 0.
        plan: the notes.
    """
    events = [(0, mido.Message("program_change", program=program))]
    for note in plan.notes():
        start = round(1000 * (note.slot_start + LEAD_SECONDS))
        events += [
            (start, mido.Message("note_on", note=note.pitch, velocity=note.velocity)),
            (start + round(1000 * note.hold_seconds), mido.Message("note_off", note=note.pitch)),
            # All sound off: releases longer than the slot must not reach into the next one.
            (
                round(1000 * (note.slot_start + note.slot_seconds - GAP_SECONDS)),
                mido.Message("control_change", control=120),
            ),
        ]
    track = mido.MidiTrack()
    now = 0
    for tick, message in events:
        track.append(message.copy(time=tick - now))
        now = tick
    track.append(mido.MetaMessage("end_of_track", time=1000))
    return mido.MidiFile(ticks_per_beat=500, tracks=[track])


def render_program(program: int, plan: Plan, fluidsynth: str, soundfont: Path, files: ProgramFiles) -> None:
    """Render all notes of one program, and write its audio and then its index.

    Args:
        program: General MIDI program, from 0.
        plan: the notes.
        fluidsynth: path of the synthesiser.
        soundfont: path of the SoundFont.
        files: where to write.

    Raises:
        subprocess.CalledProcessError: the synthesiser failed.
    """
    with tempfile.TemporaryDirectory() as folder:
        midi = Path(folder) / "notes.mid"
        wav = Path(folder) / "notes.wav"
        midi_file(program, plan).save(midi)
        command = [fluidsynth, "-ni", "-q", "-R", "0", "-C", "0", "-g", str(GAIN), "-r", str(RATE)]
        command += ["-T", "wav", "-O", "float", "-F", str(wav), str(soundfont), str(midi)]
        subprocess.run(command, check=True, capture_output=True)
        stereo, _ = soundfile.read(wav, dtype="float32", always_2d=True)
    mono = stereo.mean(axis=1)
    mono = np.pad(mono, (0, max(0, plan.samples - len(mono))))[: plan.samples]
    # The file is of integers, so that silence stays exact. Its peak is 0.9, and the index keeps the scale.
    scale = float(np.abs(mono).max()) / 0.9 or 1.0
    with replacing(files.audio) as part:
        soundfile.write(part, mono / scale, RATE, subtype="PCM_24", format="FLAC")
    index = {"program": program, "soundfont": soundfont.name, "scale": scale, "plan": plan.describe()}
    with replacing(files.index) as part:
        part.write_text(json.dumps(index), encoding="utf-8")


def parse_programs(text: str) -> list[int]:
    """Return the programs of a list such as "0-7,24,40-47"."""
    found: list[int] = []
    for item in text.split(","):
        low, _, high = item.partition("-")
        found += range(int(low), int(high or low) + 1)
    if not all(0 <= program <= 127 for program in found):
        raise argparse.ArgumentTypeError(f"{text}: General MIDI programs are 0 to 127")
    return found


def main() -> int:
    """Render what is missing and report it."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--soundfont", default="musescore", help="musescore, fluid or a path")
    parser.add_argument("--programs", type=parse_programs, default=list(range(128)))
    parser.add_argument("--out", type=Path, default=DEFAULT_FOLDER, help="cache folder")
    parser.add_argument("--json", action="store_true", help="print the result as JSON, without a progress bar")
    options = parser.parse_args()
    plan = Plan()
    try:
        fluidsynth = find_fluidsynth()
        soundfont = find_soundfont(options.soundfont)
    except MissingError as error:
        print(error, file=sys.stderr)
        return 1
    folder = options.out / soundfont.stem
    folder.mkdir(parents=True, exist_ok=True)
    rendered = skipped = 0
    columns = [TextColumn("{task.description}"), BarColumn(), MofNCompleteColumn(), TimeRemainingColumn()]
    with Progress(*columns, console=Console(stderr=True), disable=options.json) as progress:
        task = progress.add_task("programs", total=len(options.programs))
        for program in options.programs:
            files = ProgramFiles(folder, program)
            if files.complete(plan):
                skipped += 1
            else:
                render_program(program, plan, fluidsynth, soundfont, files)
                rendered += 1
            progress.advance(task)
    size = sum(path.stat().st_size for path in folder.glob("*.flac"))
    result = {
        "folder": str(folder),
        "rendered": rendered,
        "skipped": skipped,
        "notes_per_program": len(plan.notes()),
        "bytes": size,
    }
    if options.json:
        print(json.dumps(result))
    else:
        print(f"{folder}: {rendered} programs rendered, {skipped} were complete, {size / 1e6:.0f} MB")
    return 0


if __name__ == "__main__":
    sys.exit(main())
