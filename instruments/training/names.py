"""Read pitch, velocity, class and instrument from the name of a file.

>>> described(Path("Bass F#2 f.wav"))
Description(pitch=42, velocity=112, kind='', instrument='bass')
>>> described(Path("piano-060-080.wav"))
Description(pitch=60, velocity=80, kind='', instrument='piano')
>>> described(Path("snare_01.wav"), {"snare": ("snare", "sd")}).kind
'snare'
"""

from __future__ import annotations

import re
from dataclasses import dataclass
from pathlib import Path

from instruments.training.contract import Classes

MIDDLE_C = 4
"""Octave of MIDI note 60 in names such as C4. Some makers call it C3 or C5."""

DYNAMICS = {"ppp": 16, "pp": 32, "p": 48, "mp": 64, "mf": 80, "f": 112, "ff": 120, "fff": 127}
DYNAMICS |= {"soft": 48, "medium": 80, "hard": 112}

_STEPS = {"c": 0, "d": 2, "e": 4, "f": 5, "g": 7, "a": 9, "b": 11}
_SIGNS = {"": 0, "#": 1, "s": 1, "b": -1}
_NOTE = re.compile(r"([a-g])(#|s|b)?(-1|\d)", re.IGNORECASE)
_VELOCITY = re.compile(r"(v|vel|velocity)(\d{1,3})", re.IGNORECASE)
_KEY = re.compile(r"(?:note|midi|key)(\d{1,3})", re.IGNORECASE)
_THREE_DIGITS = re.compile(r"\d{3}")
_TAKE = re.compile(r"\d+|(rr|take|alt|rep|var)\d*", re.IGNORECASE)
_LEAST_SHORT_VELOCITY = 8  # v1 to v7 are versions or layers
_WORDS = re.compile(r"[A-Z]+(?![a-z])|[A-Z]?[a-z]+|\d+")


@dataclass(frozen=True)
class Description:
    """What a name says. What it does not say is None or empty.

    Attributes:
        pitch: MIDI note.
        velocity: 1 to 127.
        kind: name of the class.
        instrument: name of the instrument.
    """

    pitch: int | None = None
    velocity: int | None = None
    kind: str = ""
    instrument: str = ""


def described(path: Path, classes: Classes | None = None, middle_c: int = MIDDLE_C) -> Description:
    """Return what a path within a folder of one-shots says. The name of the file comes before those of its folders.

    Args:
        path: relative to the folder of one-shots.
        classes: classes to look for.
        middle_c: octave of MIDI note 60.
    """
    pitch: int | None = None
    velocity: int | None = None
    rest = []
    tokens = [token for token in re.split(r"[\s_,()\[\]]+|-(?!1(?:\D|$))|(?<=\D)\.|\.(?=\D)", path.stem) if token]
    if len(tokens) > 2 and all(_THREE_DIGITS.fullmatch(token) for token in tokens[-2:]):
        pitch, velocity = _midi(tokens[-2], 0), _midi(tokens[-1], 1)
        if pitch is not None and velocity is not None:
            tokens = tokens[:-2]
    for token in tokens:
        note = note_number(token, middle_c)
        key = _KEY.fullmatch(token)
        strength = _VELOCITY.fullmatch(token)
        if pitch is None and note is not None:
            pitch = note
        elif pitch is None and key:
            pitch = _midi(key[1], 0)
        elif velocity is None and strength and _is_velocity(strength[1], int(strength[2])):
            velocity = int(strength[2])
        elif velocity is None and token.lower() in DYNAMICS:
            velocity = DYNAMICS[token.lower()]
        elif not _TAKE.fullmatch(token):
            rest.append(token)
    folder = path.parent.name
    instrument = "-".join(rest).lower() or folder.lower()
    return Description(pitch, velocity, kind_of(path, classes or {}), instrument)


def note_number(text: str, middle_c: int = MIDDLE_C) -> int | None:
    """Return the MIDI note of a name such as ``F#2``, or None if it is not one.

    Args:
        text: the name, with ``#``, ``s`` or ``b`` for a sharp or a flat.
        middle_c: octave of MIDI note 60.
    """
    found = _NOTE.fullmatch(text.strip())
    if not found:
        return None
    step, sign, octave = found.groups()
    number = 60 + 12 * (int(octave) - middle_c) + _STEPS[step.lower()] + _SIGNS[(sign or "").lower()]
    return number if 0 <= number <= 127 else None


def kind_of(path: Path, classes: Classes) -> str:
    """Return the class that a file's name means, or else that the nearest folder's name means, or "".

    The longest words count, so that "rim shot" is not a shot, and "open hat" not any hat.
    """
    spoken = sorted(
        ((words, kind) for kind, names in classes.items() for words in names), key=lambda pair: -len(pair[0])
    )
    for part in (path.stem, *reversed(path.parent.parts)):
        text = f" {' '.join(word.lower() for word in _WORDS.findall(part))} "
        for words, kind in spoken:
            if f" {words} " in text:
                return kind
    return ""


def _midi(text: str, least: int) -> int | None:
    number = int(text)
    return number if least <= number <= 127 else None


def _is_velocity(prefix: str, number: int) -> bool:
    return 1 <= number <= 127 and (len(prefix) > 1 or number >= _LEAST_SHORT_VELOCITY)
