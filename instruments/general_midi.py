"""Choose sounds for the 128 programs of General MIDI.

A sound that has a program's own name plays it, such as `flute` for Flute. Other programs get the nearest bundled
timbre, by the kind of instrument. A reason says how near it is.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from statistics import median

from instruments.families import FAMILIES, sound_names

DRUM_CHANNEL = 9
"""The channel of drums in General MIDI, counted from 0."""

DRUM_FAMILY = "drums"
"""Name of the family that plays the drum channel. It may be absent."""

LOWEST_VIOLIN = 60
"""Strings whose median note is below this are played by the cello."""

PROGRAMS = (
    "Acoustic Grand Piano", "Bright Acoustic Piano", "Electric Grand Piano", "Honky-tonk Piano",
    "Electric Piano 1", "Electric Piano 2", "Harpsichord", "Clavinet",
    "Celesta", "Glockenspiel", "Music Box", "Vibraphone", "Marimba", "Xylophone", "Tubular Bells", "Dulcimer",
    "Drawbar Organ", "Percussive Organ", "Rock Organ", "Church Organ",
    "Reed Organ", "Accordion", "Harmonica", "Tango Accordion",
    "Acoustic Guitar (nylon)", "Acoustic Guitar (steel)", "Electric Guitar (jazz)", "Electric Guitar (clean)",
    "Electric Guitar (muted)", "Overdriven Guitar", "Distortion Guitar", "Guitar Harmonics",
    "Acoustic Bass", "Electric Bass (finger)", "Electric Bass (pick)", "Fretless Bass",
    "Slap Bass 1", "Slap Bass 2", "Synth Bass 1", "Synth Bass 2",
    "Violin", "Viola", "Cello", "Contrabass",
    "Tremolo Strings", "Pizzicato Strings", "Orchestral Harp", "Timpani",
    "String Ensemble 1", "String Ensemble 2", "Synth Strings 1", "Synth Strings 2",
    "Choir Aahs", "Voice Oohs", "Synth Voice", "Orchestra Hit",
    "Trumpet", "Trombone", "Tuba", "Muted Trumpet", "French Horn", "Brass Section", "Synth Brass 1", "Synth Brass 2",
    "Soprano Sax", "Alto Sax", "Tenor Sax", "Baritone Sax", "Oboe", "English Horn", "Bassoon", "Clarinet",
    "Piccolo", "Flute", "Recorder", "Pan Flute", "Blown Bottle", "Shakuhachi", "Whistle", "Ocarina",
    "Lead 1 (square)", "Lead 2 (sawtooth)", "Lead 3 (calliope)", "Lead 4 (chiff)",
    "Lead 5 (charang)", "Lead 6 (voice)", "Lead 7 (fifths)", "Lead 8 (bass + lead)",
    "Pad 1 (new age)", "Pad 2 (warm)", "Pad 3 (polysynth)", "Pad 4 (choir)",
    "Pad 5 (bowed)", "Pad 6 (metallic)", "Pad 7 (halo)", "Pad 8 (sweep)",
    "FX 1 (rain)", "FX 2 (soundtrack)", "FX 3 (crystal)", "FX 4 (atmosphere)",
    "FX 5 (brightness)", "FX 6 (goblins)", "FX 7 (echoes)", "FX 8 (sci-fi)",
    "Sitar", "Banjo", "Shamisen", "Koto", "Kalimba", "Bagpipe", "Fiddle", "Shanai",
    "Tinkle Bell", "Agogo", "Steel Drums", "Woodblock",
    "Taiko Drum", "Melodic Tom", "Synth Drum", "Reverse Cymbal",
    "Guitar Fret Noise", "Breath Noise", "Seashore", "Bird Tweet",
    "Telephone Ring", "Helicopter", "Applause", "Gunshot",
)  # fmt: skip
"""Names of the programs, counted from 0."""

LOWEST = {"flute": 49, "trumpet": 43, "alto-sax": 40}
"""Notes an octave below the recordings of a timbre. Programs whose median note is lower are played by the cello."""

_STRINGS = "strings"  # stands for the violin or the cello, by register


@dataclass(frozen=True)
class Choice:
    """The sound that plays a program.

    Attributes:
        sound: its name, as `open_instrument` takes it.
        reason: why it plays another instrument's program. Empty if it is the program's own sound.
    """

    sound: str
    reason: str = ""


@dataclass(frozen=True)
class _Group:
    """Programs that the same timbre plays, with the reason."""

    programs: Iterable[int]
    timbre: str
    reason: str


_GROUPS = (
    _Group(range(8), _STRINGS, "strings too, but bowed: the notes do not decay"),
    _Group(range(8, 15), "flute", "few harmonics, as bars and bells have, but the notes do not decay"),
    _Group((15,), _STRINGS, "strings too, but bowed: the notes do not decay"),
    _Group(range(16, 20), "flute", "pipes"),
    _Group(range(20, 24), "alto-sax", "reeds"),
    _Group(range(24, 29), _STRINGS, "strings too, but bowed: the notes do not decay"),
    _Group((29, 30), _STRINGS, "strings that sustain, as overdriven ones do, but not distorted"),
    _Group((31,), "flute", "few harmonics, but the notes do not decay"),
    _Group(range(32, 38), _STRINGS, "strings too, but bowed: the notes do not decay"),
    _Group((38, 39), _STRINGS, "many harmonics in a low register"),
    _Group((40, 41, 42, 43, 44), _STRINGS, "bowed strings"),
    _Group((45, 46), _STRINGS, "strings too, but bowed: the notes do not decay"),
    _Group((47,), "cello", "the register alone is near: there is no tuned drum"),
    _Group(range(48, 52), _STRINGS, "bowed strings, one player instead of many"),
    _Group(range(52, 55), "flute", "soft tones with breath, as voices are, but no vowels"),
    _Group((55,), _STRINGS, "strings of the orchestra, but bowed: the notes do not decay"),
    _Group(range(56, 64), "trumpet", "brass"),
    _Group(range(64, 72), "alto-sax", "reeds"),
    _Group(range(72, 80), "flute", "pipes"),
    _Group(range(80, 87), "flute", "a single soft melody voice; a synthesiser has more harmonics"),
    _Group((87,), _STRINGS, "many harmonics in a low register"),
    _Group((88, 89, 90, 92, 93, 94, 95), _STRINGS, "sustained chords, as pads are"),
    _Group((91,), "flute", "soft tones with breath, as voices are, but no vowels"),
    _Group(range(96, 104), _STRINGS, "sustained tones only: there is no such effect"),
    _Group(range(104, 108), _STRINGS, "strings too, but bowed: the notes do not decay"),
    _Group((108,), "flute", "few harmonics, as tongues of metal have, but the notes do not decay"),
    _Group((109, 111), "alto-sax", "reeds"),
    _Group((110,), "violin", "the same instrument"),
    _Group(range(112, 116), "flute", "few harmonics, as bars and bells have, but the notes do not decay"),
    _Group(range(116, 119), "cello", "the register alone is near: there is no tuned drum"),
    _Group(range(119, 128), "flute", "breath noise is the nearest: there is no such sound effect"),
)


def choose_sound(program: int, notes: Sequence[int]) -> Choice:
    """Return the sound that plays a program.

    Args:
        program: 0..127.
        notes: 0..127, the notes that it plays. Low ones are played by the cello.
    """
    own = sound_name(program)
    if own in sound_names():
        return Choice(own)
    group = next(group for group in _GROUPS if program in group.programs)
    timbre = group.timbre
    if timbre == _STRINGS:
        timbre = "cello" if notes and median(notes) < LOWEST_VIOLIN else "violin"
    elif notes and median(notes) < LOWEST.get(timbre, 0):
        return Choice("cello", f"the notes are too low for the {timbre}")
    return Choice(timbre, group.reason)


def choose_drums() -> str | None:
    """Return the sound that plays the drum channel, or None if no family of drums is installed."""
    if DRUM_FAMILY not in FAMILIES:
        return None
    return next(iter(FAMILIES[DRUM_FAMILY].sounds()), None)


def sound_name(program: int) -> str:
    """Return a program's name as sounds are named, such as ``alto-sax``.

    Args:
        program: 0..127.
    """
    letters = "".join(letter if letter.isalnum() else " " for letter in PROGRAMS[program].lower())
    return "-".join(letters.split())
