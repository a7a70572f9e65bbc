"""Analyse a person's one-shots as notes, and prepare them for training."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace

import numpy as np

from instruments.latent.analysis import NoteAnalyzer
from instruments.latent.distance import log_spectral_distance
from instruments.latent.files import LatentFile
from instruments.latent.frames import SILENT_DB, NoteFrames, frames_of
from instruments.latent.subbands import RATE
from instruments.latent.training.dataset import LONG_TICKS, InstrumentNotes
from instruments.training.contract import OneShot, Related
from neural_fx.arrays import Audio, Doubles

BUNDLED = "bundled/"
"""Begins the names of the bundled presets whose notes are learned beside a person's own."""
DUPLICATE_DB = 1.0
HELD_OUT_SHARE = 1 / 8
LEAST_PITCHES = 4
"""Pitches of an instrument from which on some are held out."""
USUAL_DB = -20.0
"""Level of the loudest frame of a note where there is no network to compare with."""
REPLAYED_PITCHES = (44.0, 58.0, 72.0)
REPLAYED_VELOCITY = 100.0
_REPLAYED_RELEASE, _REPLAYED_END = 600, 900
_ENVELOPE_SAMPLES = RATE // 100
_FALL_STEPS = 15
_LEAST_FALL_DB = 12.0
_LEAST_FALL_RATIO = 3.0
_EARLIEST_RELEASE = 0.3  # of the length


@dataclass(frozen=True)
class OwnNote:
    """An analysed one-shot.

    Attributes:
        shot: the one-shot.
        frames: of its note.
        onset: first sample that sounds.
    """

    shot: OneShot
    frames: NoteFrames
    onset: int


def analysed(shots: Sequence[OneShot], show: Callable[[float, str], None]) -> list[OwnNote]:
    """Return the notes of one-shots.

    Args:
        shots: each with a pitch.
        show: shows the progress.
    """
    analyzer = NoteAnalyzer(use_phases=False)
    found = []
    for index, shot in enumerate(shots):
        show(index / len(shots), shot.name)
        pitch = 60.0 if shot.pitch is None else shot.pitch
        parameters = analyzer.analyze(shot.audio, pitch)
        release = release_sample(shot.audio, parameters.onset, parameters.end)
        frames = frames_of(parameters, pitch, shot.velocity, len(shot.audio) if release is None else release)
        if release is None:  # it rings until it ends by itself
            frames = replace(frames, release=max(frames.end, LONG_TICKS) + 1)
        found.append(OwnNote(shot, frames, parameters.onset))
    return found


def release_sample(audio: Audio, onset: int, end: int) -> int | None:
    """Return the sample at which a note is released, or None if it fades by itself.

    A release is where the level begins to fall much faster than before.

    Args:
        audio: (samples,).
        onset, end: first sample of the note, and the one after its last.
    """
    count = (end - onset) // _ENVELOPE_SAMPLES
    if count <= 2 * _FALL_STEPS:
        return None
    power = (audio[onset : onset + count * _ENVELOPE_SAMPLES].astype(np.float64) ** 2).reshape(count, -1).mean(1)
    level = 10 * np.log10(np.maximum(power, power.max() * 1e-7))
    falls = level[:-_FALL_STEPS] - level[_FALL_STEPS:]
    for step in range(round(_EARLIEST_RELEASE * count), len(falls)):
        usual = max(float(np.median(falls[:step])), 1.0)
        if falls[step] > max(_LEAST_FALL_DB, _LEAST_FALL_RATIO * usual):
            steep = int((level[step : step + _FALL_STEPS] - level[step + 1 : step + _FALL_STEPS + 1]).argmax())
            return onset + (step + steep) * _ENVELOPE_SAMPLES
    return None


def own_instruments(notes: Sequence[OwnNote], usual_db: float, seed: int) -> list[InstrumentNotes]:
    """Return the notes by instrument, as loud as notes usually are, with some pitches held out.

    Args:
        notes: analysed.
        usual_db: level of the loudest frame that notes usually have.
        seed: of the choice of pitches.
    """
    found = []
    rng = np.random.default_rng(seed)
    for name in instrument_names(notes):
        own = [note.frames for note in notes if preset_name(note.shot) == name]
        gain = usual_db - float(np.median([loudest_db(frames.levels) for frames in own]))
        leveled = [replace(n, levels=np.maximum(n.levels + gain, SILENT_DB)) for n in own]
        leveled = with_a_long_one(leveled)
        pitches = sorted({n.pitch for n in leveled})
        needed = {n.pitch for n in leveled if n.release > LONG_TICKS}
        inner = [p for p in pitches[1:-1] if needed - {p}]
        count = max(1, round(HELD_OUT_SHARE * len(pitches))) if len(pitches) >= LEAST_PITCHES else 0
        held = frozenset(rng.permutation(inner)[:count].tolist()) if count else frozenset()
        if not needed - held:
            held = frozenset()
        found.append(InstrumentNotes(name, leveled, held_out_pitches=held))
    return found


def instrument_names(notes: Sequence[OwnNote]) -> list[str]:
    """Return the names of the presets, each once."""
    return list(dict.fromkeys(preset_name(note.shot) for note in notes))


def preset_name(shot: OneShot) -> str:
    """Return the name of the preset that a one-shot belongs to."""
    return "-".join(shot.instrument.lower().split()) or "mine"


def with_a_long_one(notes: list[NoteFrames]) -> list[NoteFrames]:
    """Return notes of which at least one is long enough for the encoder: the longest counts as held."""
    if any(note.release > LONG_TICKS for note in notes):
        return notes
    longest = max(range(len(notes)), key=lambda index: notes[index].release)
    held = replace(notes[longest], release=LONG_TICKS + 1)
    return [held if index == longest else note for index, note in enumerate(notes)]


def loudest_db(levels: Doubles) -> float:
    """Return the level of the loudest frame in dB, as the sum of the powers of all that sounds in it."""
    return float(10 * np.log10((10 ** (levels.astype(np.float64) / 10)).sum(1).max(initial=1e-14)))


def replayed(file: LatentFile, most: int, seed: int) -> list[InstrumentNotes]:
    """Return notes of some bundled presets, played by their network.

    Args:
        file: the network and its presets.
        most: presets, at most.
        seed: of the choice.
    """
    names = sorted(file.presets)
    chosen = np.random.default_rng(seed).permutation(len(names))[:most]
    found = []
    for index in chosen:
        name = names[index]
        notes = [
            file.network.play(file.presets[name], pitch, REPLAYED_VELOCITY, _REPLAYED_RELEASE, _REPLAYED_END)
            for pitch in REPLAYED_PITCHES
        ]
        found.append(InstrumentNotes(BUNDLED + name, [note for note in notes if len(note.ticks) > 1]))
    return [instrument for instrument in found if instrument.notes]


def usual_level_db(instruments: Sequence[InstrumentNotes]) -> float:
    """Return the level of the loudest frame that the notes of instruments usually have, in dB."""
    levels = [loudest_db(note.levels) for instrument in instruments for note in instrument.notes]
    return float(np.median(levels)) if levels else USUAL_DB


def related_notes(shots: Sequence[OneShot]) -> list[Related]:
    """Return duplicates among one-shots of the same instrument, pitch and velocity."""
    found: list[Related] = []
    for index, shot in enumerate(shots):
        same = [
            i
            for i in range(index)
            if found[i].duplicate_of is None
            and (preset_name(shots[i]), shots[i].pitch, shots[i].velocity)
            == (preset_name(shot), shot.pitch, shot.velocity)
            and _alike(shots[i].audio, shot.audio)
        ]
        found.append(Related(same[0], same[0]) if same else Related(index))
    return found


def _alike(first: Audio, second: Audio) -> bool:
    """Return whether two sounds are the same, apart from their level and the silence around them."""
    one, other = _bare(first), _bare(second)
    if abs(len(one) - len(other)) > 0.1 * max(len(one), len(other)):
        return False
    size = max(len(one), len(other))
    padded = [np.pad(sound, (0, size - len(sound))) for sound in (one, other)]
    return log_spectral_distance(padded[0], padded[1], smoothing="mel") < DUPLICATE_DB


def _bare(audio: Audio) -> Audio:
    peak = float(np.abs(audio).max(initial=1e-9))
    loud = np.flatnonzero(np.abs(audio) > 0.01 * peak)
    return np.asarray(audio[loud[0] : loud[-1] + 1] / peak) if len(loud) else audio
