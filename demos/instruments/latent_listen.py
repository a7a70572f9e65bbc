"""Write pictures and audio of the latent instrument: held-out recorded notes beside what the presets play, and a morph.

    python -m demos.instruments.latent_listen -o demos/instruments

Needs the `train` extra for matplotlib, and the notes that `render_notes.py` writes.
"""

from __future__ import annotations

import argparse
from pathlib import Path

import mido
import numpy as np
import soundfile
from matplotlib import pyplot

from demos.instruments.note_cache import DEFAULT_FOLDER, LEAD_SECONDS, RATE, Note, Plan, ProgramFiles, held_out
from instruments import Latent
from instruments.general_midi import sound_name
from instruments.latent.distance import WINDOW_SECONDS, band_powers
from neural_fx.arrays import Audio

PROGRAMS = (0, 8, 11, 12, 14, 33, 48, 56, 60, 65, 73, 80)
"""General MIDI programs of the strips, from 0. Each has held-out pitches."""
FLOOR_DB = -70.0
SECONDS = 2.5
MORPH = ("marimba", "synth-strings-1")


def held_out_note(program: int) -> Note:
    """Return a long, loud note of a program near C4 that no network has learned."""
    notes = [n for n in Plan().notes() if n.hold_seconds > 1 and n.velocity == 120 and held_out(program, n.pitch)]
    return min(notes, key=lambda note: abs(note.pitch - 60))


def levels(sound: Audio) -> np.ndarray:
    """Return the mel bands of a note in dB below its loudest one, (bands, frames)."""
    powers = band_powers(sound, RATE, round(WINDOW_SECONDS * RATE), "mel").T
    return np.asarray(10 * np.log10(np.maximum(powers / max(powers.max(), 1e-12), 10 ** (FLOOR_DB / 10))))


def played(preset: str, note: Note) -> Audio:
    """Return a note of a preset, (samples,)."""
    messages = [
        mido.Message("note_on", note=note.pitch, velocity=note.velocity),
        mido.Message("note_off", note=note.pitch, time=note.hold_seconds),
    ]
    return Latent(preset)(messages, SECONDS, RATE, num_channels=1)[0]


def morph() -> Audio:
    """Return a scale while one preset becomes another, (samples,)."""
    parts = []
    for step, note in enumerate((48, 52, 55, 60, 64, 67, 72, 76, 79)):
        instrument = Latent(MORPH[0], morph_to=MORPH[1], morph=step / 8)
        messages = [
            mido.Message("note_on", note=note, velocity=100),
            mido.Message("note_off", note=note, time=0.5),
        ]
        parts.append(instrument(messages, 0.8, RATE, num_channels=1)[0])
    return np.concatenate(parts)


def main() -> None:
    """Write the picture and the audio."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--soundfont", default="MuseScore_General_Full", help="name of the folder of rendered notes")
    parser.add_argument("-o", "--out", type=Path, required=True)
    options = parser.parse_args()
    figure, axes = pyplot.subplots(2, len(PROGRAMS), figsize=(16, 3.2))
    sounds: list[Audio] = []
    for column, program in enumerate(PROGRAMS):
        note = held_out_note(program)
        first = round(LEAD_SECONDS * RATE)
        recorded = ProgramFiles(DEFAULT_FOLDER / options.soundfont, program).read(note)[first:]
        recorded = recorded[: round(SECONDS * RATE)]
        preset = f"latent:{sound_name(program)}"
        for row, sound in enumerate((recorded, played(preset, note))):
            image = {"origin": "lower", "aspect": "auto", "vmin": FLOOR_DB, "vmax": 0, "cmap": "magma"}
            axes[row, column].imshow(levels(sound), **image)
            axes[row, column].set(xticks=[], yticks=[])
            sounds.append(sound * np.float32(0.3 / max(np.abs(sound).max(), 1e-6)))
        axes[0, column].set_title(sound_name(program), fontsize=7)
    for row, label in enumerate(("recorded", "network")):
        axes[row, 0].set_ylabel(label, fontsize=8)
    figure.tight_layout(pad=0.3)
    figure.savefig(options.out / "latent-strips.png", dpi=70)
    # Writing minutes of Vorbis in one call crashes libsndfile.
    with soundfile.SoundFile(options.out / "latent-notes.ogg", "w", RATE, 1) as file:
        for sound in sounds:
            file.write(sound)
    soundfile.write(options.out / "latent-morph.ogg", morph(), RATE)


if __name__ == "__main__":
    main()
