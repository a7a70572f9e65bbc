"""Choose notes to make presets of and to measure networks on."""

from __future__ import annotations

from pathlib import Path

import numpy as np

from demos.instruments import frame_cache
from demos.instruments.frame_cache import CachedNote
from instruments.latent.frames import NoteFrames
from instruments.latent.network import LatentNetwork

ONE_PITCH = 60


class Notes:
    """All cached notes by program.

    Args:
        folder: of one SoundFont's frames.
    """

    def __init__(self, folder: Path) -> None:
        self.soundfont = folder.name
        self.by_program: dict[int, list[CachedNote]] = {}
        for program in range(128):
            for part in frame_cache.PARTS:
                if frame_cache.frames_path(folder, program, part).is_file():
                    found = frame_cache.load_frames(folder, program, part)
                    self.by_program.setdefault(program, []).extend(found)

    def seen(self) -> list[int]:
        """Return the training programs."""
        return [program for program in self.by_program if not frame_cache.program_held_out(program)]

    def training(self, program: int) -> list[NoteFrames]:
        """Return the training notes of a program."""
        return [note.frames for note in self.by_program[program] if not note.pitch_held_out]

    def one_note(self, program: int) -> list[NoteFrames]:
        """Return the long, loud note at C4, or the training note nearest to it; none if that is silent.

        Args:
            program: if it is held out, only C4 will do.
        """
        held_out = frame_cache.program_held_out(program)
        notes = [n for n in self.by_program[program] if n.is_long and (held_out or not n.pitch_held_out)]
        found = sorted((n.frames for n in notes), key=lambda n: (abs(n.pitch - ONE_PITCH), -n.velocity))
        return [note for note in found[:1] if note.pitch == ONE_PITCH or not held_out]

    def chosen(self, held_out_programs: bool, count: int, seed: int) -> list[CachedNote]:
        """Return random notes that no network was trained on.

        Args:
            held_out_programs: notes of held-out programs, else held-out pitches of the others.
            count: how many.
            seed: of the choice.
        """
        if held_out_programs:
            programs = [p for p in self.by_program if frame_cache.program_held_out(p) and self.one_note(p)]
            notes = [n for p in programs for n in self.by_program[p] if n.frames.pitch != ONE_PITCH]
        else:
            notes = [n for p in self.seen() for n in self.by_program[p] if n.pitch_held_out]
        order = np.random.default_rng(seed).permutation(len(notes))
        return [notes[i] for i in order[:count]]


def mean_timbre(network: LatentNetwork, notes: list[NoteFrames]) -> np.ndarray:
    """Return the mean timbre of the long ones of some notes.

    Args:
        network: with the encoder.
        notes: at least one of them long.
    """
    return np.mean([network.encode(n) for n in notes if n.release > frame_cache.LONG_TICKS], axis=0)
