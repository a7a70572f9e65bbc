"""Analyse and pack the notes that the autoregressive networks learn from.

    python demos/autoregressive/pack_notes.py [--shared ../shared] [-o build/autoregressive/notes.xz]

Needs fluidsynth and MuseScore_General_Full.sf2 (see demos/instruments/render_notes.py), and the CC0 recordings of a
cello and an alto saxophone in the shared folder. Renders what is missing into ~/.cache/neural-fx/autoregressive.
"""

from __future__ import annotations

import argparse
import re
import sys
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import soundfile
import soxr

sys.path.insert(0, str(Path(__file__).parents[2]))

from demos.autoregressive.notes import FLOOR_DB, Note, followed, pack
from demos.autoregressive.performances import performance
from demos.instruments.note_cache import LEAD_SECONDS, RATE, Plan, ProgramFiles, held_out
from demos.instruments.render_notes import find_fluidsynth, find_soundfont, render_program
from instruments.latent.pitch import estimate
from neural_fx.arrays import Doubles
from neural_fx.files import replacing
from neural_fx.networks.autoregressive.signal import Signal

CACHE = Path("~/.cache/neural-fx/autoregressive").expanduser()
SOUNDFONT_VOICES = {
    "trumpet": (56, 54, 84),
    "flute": (73, 60, 94),
    "clarinet": (71, 52, 86),
    "violin": (40, 56, 90),
    "oboe": (68, 58, 88),
    "organ": (16, 42, 84),
}
"""General MIDI program, lowest and highest pitch."""
RECORDED_VOICES = {"cello": "cello", "alto-sax": "alto-sax"}
VELOCITIES = {"p": 40, "mp": 64, "mf": 88, "f": 112}
HOLDS = ((1.1, 1.7),)
PART_SECONDS = 0.9
NAMES = {"c": 0, "db": 1, "d": 2, "eb": 3, "e": 4, "f": 5, "gb": 6, "g": 7, "ab": 8, "a": 9, "bb": 10, "b": 11}
SIGNAL = Signal()


@dataclass
class Recording:
    """Audio of a note at 48 kHz, (samples,), and its times in seconds."""

    audio: Doubles
    pitch: int
    velocity: int
    onset: float
    release: float
    held_out: bool


def soundfont_notes(program: int, low: int, high: int) -> Iterator[Recording]:
    """Yield the notes of a General MIDI program, rendered if needed."""
    plan = Plan(tuple(range(low, high + 1, 2)), (40, 80, 120), HOLDS)
    CACHE.mkdir(parents=True, exist_ok=True)
    files = ProgramFiles(CACHE, program)
    if not files.complete(plan):
        render_program(program, plan, find_fluidsynth(), find_soundfont("musescore"), files)
    for note in plan.notes():
        release = LEAD_SECONDS + note.hold_seconds
        kept = held_out(program, note.pitch)
        yield Recording(files.read(note).astype(np.float64), note.pitch, note.velocity, LEAD_SECONDS, release, kept)


def recorded_notes(folder: Path, voice: int) -> Iterator[Recording]:
    """Yield the notes of a folder of recordings, whose names begin with the note and the dynamic."""
    for path in sorted(folder.glob("*.flac")):
        match = re.match(r"([a-g]b?)(\d)_(p|mp|mf|f)_", path.name.lower())
        if match is None:
            continue
        audio, rate = soundfile.read(path, always_2d=True)
        mono = soxr.resample(audio.mean(axis=1), rate, RATE)
        pitch = 12 * (int(match[2]) + 1) + NAMES[match[1]]
        pitch += 12 * octaves_off(mono, pitch)
        onset, release = ends(mono)
        yield Recording(mono, pitch, VELOCITIES[match[3]], onset, release, held_out(1000 + voice, pitch))


def octaves_off(audio: Doubles, pitch: int) -> int:
    """Return by how many octaves a file's name is wrong: libraries do not agree on the number of middle C."""
    body = audio[len(audio) // 4 : len(audio) // 4 + RATE // 2]
    best = []
    for octave in (-1, 0, 1):
        lag = RATE / (440 * 2 ** ((pitch + 12 * octave - 69) / 12))
        scores = [
            float(np.corrcoef(body[: -int(x)], body[int(x) :])[0, 1]) for x in np.arange(0.97, 1.031, 0.005) * lag
        ]
        best.append(max(scores))
    # The shortest lag that fits almost as well as the best one is the period.
    good = [octave for octave, score in zip((-1, 0, 1), best) if score > max(best) - 0.05]
    return max(good)


def ends(audio: Doubles) -> tuple[float, float]:
    """Return the onset of a recorded note and the beginning of its final decay, in seconds."""
    hop = RATE // 250
    power = np.convolve(audio**2, np.ones(2 * hop) / (2 * hop), "same")[::hop]
    level = 10 * np.log10(power + 1e-12)
    onset = int(np.flatnonzero(level > level.max() - 35)[0])
    release = int(np.flatnonzero(level > np.median(level[onset:]) - 10)[-1])
    return onset / 250, release / 250


def analyzed(recording: Recording, voice: int, loudest_db: float) -> Iterator[Note]:
    """Yield a note, or the beginning or the end of one that is long."""
    audio = soxr.resample(recording.audio, RATE, SIGNAL.rate)
    begin = int(recording.onset * RATE)
    hz, _ = estimate(recording.audio[begin : int(recording.release * RATE)], recording.pitch)
    cycles, pitches = followed(audio, hz, SIGNAL)
    levels = np.maximum(SIGNAL.measured_levels(SIGNAL.emphasized(audio)) - loudest_db, FLOOR_DB)
    unit = SIGNAL.emphasized(audio) / SIGNAL.gains(levels + loudest_db, len(audio))
    classes = SIGNAL.encode(unit).astype(np.uint8)
    onset, release = round(recording.onset * SIGNAL.rate), round(recording.release * SIGNAL.rate)
    for first, last in parts(len(audio), onset, release):
        frames = slice(first // SIGNAL.hop, first // SIGNAL.hop + 1 + (last - first) // SIGNAL.hop)
        yield Note(
            voice,
            recording.pitch,
            recording.velocity,
            onset - first,
            release - first,
            recording.held_out,
            classes[first:last],
            pitches[frames],
            cycles[frames] - np.floor(cycles[frames][0]),
            levels[frames],
        )


def parts(samples: int, onset: int, release: int) -> list[tuple[int, int]]:
    """Return what is packed of a note, as first and last samples. Parts begin at frames."""
    lead = round(LEAD_SECONDS * SIGNAL.rate)
    part = round(PART_SECONDS * SIGNAL.rate)
    start = max(0, onset - lead) // SIGNAL.hop * SIGNAL.hop
    stop = min(samples, release + round(0.5 * SIGNAL.rate)) // SIGNAL.hop * SIGNAL.hop
    if stop - start < 2 * part:
        return [(start, stop)]
    tail = (stop - part // 2 - round(0.5 * SIGNAL.rate)) // SIGNAL.hop * SIGNAL.hop
    return [(start, start + part // SIGNAL.hop * SIGNAL.hop), (tail, stop)]


def loudest(recordings: list[Recording]) -> float:
    """Return the level of the loudest frame in dB."""
    levels = []
    for recording in recordings:
        audio = soxr.resample(recording.audio, RATE, SIGNAL.rate)
        levels.append(float(np.percentile(SIGNAL.measured_levels(SIGNAL.emphasized(audio)), 99)))
    return max(levels)


def main() -> None:
    """Pack the notes of all voices."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--shared", type=Path, default=Path(__file__).parents[2] / ".." / "shared")
    parser.add_argument("-o", "--out", type=Path, default=Path("build/autoregressive/notes.xz"))
    parser.add_argument("--voices", nargs="*", default=[*RECORDED_VOICES, *SOUNDFONT_VOICES])
    options = parser.parse_args()
    notes: list[Note] = []
    performances = {}
    for voice, name in enumerate(options.voices):
        if name in RECORDED_VOICES:
            found = recorded_notes(options.shared / "audio" / "solo" / RECORDED_VOICES[name], voice)
        else:
            found = soundfont_notes(*SOUNDFONT_VOICES[name])
        recordings = list(found)
        loudest_db = loudest(recordings)
        own = [note for recording in recordings for note in analyzed(recording, voice, loudest_db)]
        notes += own
        performances[name] = performance(own, loudest_db, SIGNAL)
        seconds = sum(len(n.classes) for n in own) / SIGNAL.rate
        kept = sum(n.held_out for n in own)
        clipped = np.mean(np.concatenate([(n.classes == 1) | (n.classes == 255) for n in own]))
        print(f"{name}: {len(own)} parts, {kept} held out, {seconds:.0f} s, {clipped:.1e} clipped", flush=True)
    data = pack(notes, {"voices": options.voices, "performances": performances})
    options.out.parent.mkdir(parents=True, exist_ok=True)
    with replacing(options.out) as part:
        part.write_bytes(data)
    print(f"{options.out}: {len(data) / 2**20:.1f} MiB")


if __name__ == "__main__":
    main()
