"""Measure a network of `train_latent.py` on held-out pitches and on held-out programs, beside simpler ways.

    python demos/instruments/evaluate_latent.py latent.safetensors [--soundfont FluidR3_GM] [--count 100] [--json]

All pitches of a program that was seen take its preset from the file, or else the mean timbre of its training notes: so
do the programs of a SoundFont that the presets are not from. A program that was not seen takes the timbre of one note,
C4. The ways:

- network: the decoder, with all its pitches, partials and ends.
- one note: what the encoder makes of one note at or near C4, played at every pitch.
- one note, refined: the same after some steps of descent on that note.
- mean timbre: the decoder with the mean timbre of all training programs.
- nearest: the nearest recorded note (of an unseen program: C4), moved to the pitch.
- mean: the mean level of 24 training programs at the same pitch, velocity and length.
- sine: a sine with the power of the note.
- itself: the note's own analysis, played again.

The measures, each a mean over notes:

- harmonics: mean absolute difference in dB, of harmonics less than 60 dB below the loudest level in either note.
- harmonics_80, noise: the same for harmonics and for noise bands less than 80 dB below.
- bins, mel: log spectral distance as audio, see `instruments.latent.distance`.
"""

from __future__ import annotations

import os

os.environ.setdefault("OMP_NUM_THREADS", "1")

import argparse
import json
import sys
from collections.abc import Callable
from pathlib import Path

sys.path.insert(0, str(Path(__file__).parents[2]))

import numpy as np

from demos.instruments import frame_cache, latent_rivals, note_cache
from demos.instruments.frame_cache import CachedNote
from demos.instruments.latent_notes import Notes, mean_timbre
from demos.instruments.note_cache import ProgramFiles
from instruments.general_midi import sound_name
from instruments.latent import log_spectral_distance, synthesize
from instruments.latent.files import LatentFile, read_network
from instruments.latent.frames import HARMONICS, SLOTS, NoteFrames, parameters_of
from instruments.latent.parameters import HIGHEST_HZ
from instruments.latent.pitch import midi_to_hz

MEASURES = ("harmonics", "harmonics_80", "noise", "bins", "mel")
PITCHED_DB = 12.0
"""A note counts as pitched if a harmonic is this far above all noise bands."""
Way = Callable[[CachedNote], NoteFrames]


def ways(file: LatentFile, notes: Notes, held_out_programs: bool, steps: int) -> dict[str, Way]:
    """Return the ways to get at a note, by name.

    Args:
        file: with the network.
        notes: all of them.
        held_out_programs: as in `Notes.chosen`.
        steps: of the descent that refines the timbre of one note; 0 leaves this way out.
    """
    network = file.network
    # Presets of another SoundFont are other instruments.
    presets = file.presets if file.metadata.get("soundfont", notes.soundfont) == notes.soundfont else {}
    timbres = {p: presets.get(sound_name(p)) for p in notes.seen()}
    for program, timbre in timbres.items():
        if timbre is None:
            timbres[program] = mean_timbre(network, notes.training(program))
    average = np.mean([timbre for timbre in timbres.values() if timbre is not None], axis=0)
    programs = np.random.default_rng(0).permutation(notes.seen())[:24]
    ones = {p: one[0] for p in notes.by_program if (one := notes.one_note(p))}
    encoded = {p: network.encode(note) for p, note in ones.items()}
    closer: dict[int, np.ndarray] = {}
    if steps:
        # Only this way needs torch.
        from demos.instruments.refining import refined

        tested = [p for p in encoded if frame_cache.program_held_out(p) == held_out_programs]
        start = [encoded[p] for p in tested]
        closer = dict(zip(tested, refined(network, start, [[ones[p]] for p in tested], steps)[0]))

    def played(timbre: np.ndarray, note: CachedNote) -> NoteFrames:
        wanted = note.frames
        slot = 3.0 if note.is_long else 1.5
        longest = round((slot - note_cache.LEAD_SECONDS) * 400)
        return network.play(timbre, wanted.pitch, wanted.velocity, wanted.release, longest)

    def by_network(note: CachedNote) -> NoteFrames:
        timbre = timbres[note.program]
        assert timbre is not None
        return played(timbre, note)

    def by_nearest(note: CachedNote) -> NoteFrames:
        recorded = [ones[note.program]] if held_out_programs else notes.training(note.program)
        return latent_rivals.nearest(recorded, note.frames)

    def by_mean(note: CachedNote) -> NoteFrames:
        wanted = note.frames
        alike = [
            n.frames
            for p in programs
            for n in notes.by_program[int(p)]
            if n.frames.pitch == wanted.pitch
            and n.frames.velocity == wanted.velocity
            and abs(n.frames.release - wanted.release) < 40
            and not n.pitch_held_out
        ]
        return latent_rivals.mean(alike, wanted)

    found: dict[str, Way] = {} if held_out_programs else {"network": by_network}
    return {
        **found,
        "one note": lambda note: played(encoded.get(note.program, average), note),
        **({"one note, refined": lambda note: played(closer.get(note.program, average), note)} if steps else {}),
        "mean timbre": lambda note: played(average, note),
        "nearest": by_nearest,
        "mean": by_mean,
        "sine": lambda note: latent_rivals.sine(note.frames),
        "itself": lambda note: note.frames,
    }


def frame_errors(wanted: NoteFrames, found: NoteFrames) -> tuple[float, float, float]:
    """Return the errors of harmonics above -60 dB, of those above -80 dB, and of noise above -80 dB, in dB.

    Args:
        wanted: the note.
        found: what is compared with it.
    """
    one = wanted.levels.astype(np.float64)
    other = latent_rivals.levels_at(found, wanted)
    below = midi_to_hz(wanted.pitch) * np.arange(1, HARMONICS + 1) < HIGHEST_HZ
    peak = float(one.max())
    harmonics = one[:, :HARMONICS][:, below], other[:, :HARMONICS][:, below]
    noise = one[:, HARMONICS + SLOTS :], other[:, HARMONICS + SLOTS :]
    return (
        _mean_error(*harmonics, peak - 60),
        _mean_error(*harmonics, peak - 80),
        _mean_error(*noise, peak - 80),
    )


def _mean_error(one: np.ndarray, other: np.ndarray, floor: float) -> float:
    """Return the mean absolute difference where either is above the floor."""
    heard = (one > floor) | (other > floor)
    difference = np.abs(np.maximum(one, floor) - np.maximum(other, floor))[heard]
    return float(difference.mean()) if len(difference) else 0.0


def pitch_error(wanted: NoteFrames, found: NoteFrames) -> float | None:
    """Return the distance of the median pitches in cents, or None for a note without a clear pitch."""
    if wanted.levels[:, :HARMONICS].max() < wanted.levels[:, HARMONICS + SLOTS :].max() + PITCHED_DB:
        return None
    return abs(float(np.median(wanted.cents)) - float(np.median(found.cents)))


def audio_errors(sound: np.ndarray, note: NoteFrames) -> tuple[float, float]:
    """Return the log spectral distances of a sound to a note that begins when the sound does.

    Args:
        sound: of the slot.
        note: to play.
    """
    loud = np.flatnonzero(np.abs(sound) > np.abs(sound).max() * 1e-4)
    played = synthesize(parameters_of(note, len(sound), int(loud[0])))
    return log_spectral_distance(sound, played), log_spectral_distance(sound, played, smoothing="mel")


def slot_of(note: CachedNote) -> note_cache.Note:
    """Return the slot of the file of a program that a note was read from."""
    return next(
        slot
        for slot in note_cache.Plan().notes()
        if slot.pitch == note.frames.pitch
        and slot.velocity == note.frames.velocity
        and (slot.hold_seconds > 1) == note.is_long
    )


def main() -> int:
    """Measure and print two tables."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("network", type=Path)
    parser.add_argument("--soundfont", default="MuseScore_General_Full", help="name of the folder of rendered notes")
    parser.add_argument("--count", type=int, default=100, help="notes of each table")
    parser.add_argument("--seed", type=int, default=0)
    parser.add_argument("--refine", type=int, default=0, help="steps of descent on one note, such as 1500")
    parser.add_argument("--no-audio", action="store_true", help="only what needs no synthesis")
    parser.add_argument("--json", action="store_true")
    options = parser.parse_args()
    file = read_network(options.network)
    notes = Notes(frame_cache.DEFAULT_FOLDER / options.soundfont)
    source = note_cache.DEFAULT_FOLDER / options.soundfont
    tables: dict[str, dict[str, dict[str, float]]] = {}
    for title, held_out_programs in (("held-out pitches", False), ("held-out programs", True)):
        rows: dict[str, list[list[float]]] = {}
        cents: dict[str, list[float]] = {}
        compared = ways(file, notes, held_out_programs, options.refine)
        for note in notes.chosen(held_out_programs, options.count, options.seed):
            sound = np.zeros(0) if options.no_audio else ProgramFiles(source, note.program).read(slot_of(note))
            for name, way in compared.items():
                played = way(note)
                if len(played.ticks) == 0:
                    continue
                audio = (float("nan"), float("nan")) if options.no_audio else audio_errors(sound, played)
                rows.setdefault(name, []).append([*frame_errors(note.frames, played), *audio])
                error = pitch_error(note.frames, played)
                if error is not None:
                    cents.setdefault(name, []).append(error)
        tables[title] = {
            name: {
                **dict(zip(MEASURES, np.mean(found, axis=0).round(2).tolist())),
                "notes": len(found),
                "within_10_cents": round(float(np.mean(np.array(cents.get(name, [0.0])) <= 10)), 3),
            }
            for name, found in rows.items()
        }
    if options.json:
        print(json.dumps({"programs": len(notes.by_program), "tables": tables}))
        return 0
    for title, table in tables.items():
        print(f"{title:18} {'  '.join(f'{name:>13}' for name in next(iter(table.values())))}")
        for name, row in table.items():
            print(f"{name:18} {'  '.join(f'{value:13.2f}' for value in row.values())}")
    return 0


if __name__ == "__main__":
    sys.exit(main())
