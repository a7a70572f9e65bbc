"""Random input files for the fuzz runs: short audio, captures, boards, songs and impulse responses, then damaged."""

from __future__ import annotations

import json
import random
import shutil
from collections.abc import Callable
from pathlib import Path
from typing import Any

import mido
import numpy as np
import soundfile

from tests.conftest import DOCUMENTS

AUDIO = (
    ("wav", "PCM_16"), ("wav", "FLOAT"), ("wav", "PCM_24"), ("wav", "ULAW"), ("flac", "PCM_16"), ("aiff", "PCM_16"),
    ("ogg", "VORBIS"), ("mp3", "MPEG_LAYER_III"), ("au", "PCM_16"), ("caf", "PCM_16"), ("w64", "PCM_16"),
)  # fmt: skip
RATES = (8000, 22050, 44100, 48000, 96000)
NUMBERS = ("nan", "inf", "-1", "0", "1e400", "1e9", "0.5", "-0.0", '"nan"', "null", "true", "[]", "yes", "010", "")
WORDS = ("", "x", "../x", "~", "/dev/zero", "/dev/null", "-", "\u00e4\u20ac", "a" * 300, "*", "[", "%s", "{}", "nan")


class Maker:
    """Makes input files in a folder.

    Args:
        folder: where to write them.
        shared: the folder of reference data; None: files are made from nothing.
        chance: the random numbers.
    """

    def __init__(self, folder: Path, shared: Path | None, chance: random.Random) -> None:
        self.folder = folder
        self.shared = shared
        self.chance = chance
        self._count = 0

    def path(self, suffix: str) -> Path:
        """Return a new path in the folder, now and then with a strange name."""
        self._count += 1
        strange = self.chance.choice(("a b", "\u00fc", "[1]", "it's", "-x", ".hidden", "n" * 200))
        name = strange if self.chance.random() < 0.1 else "f"
        return self.folder / f"{name}{self._count}.{suffix}"

    def _shared(self, *patterns: str) -> list[Path]:
        if self.shared is None:
            return []
        return sorted(path for pattern in patterns for path in self.shared.glob(pattern) if path.is_file())

    # -- sound files -----------------------------------------------------------------------------------------------

    def signal(self, seconds: float) -> tuple[np.ndarray, int]:
        """Return (samples, channels) and a rate: part of a recording, noise, silence, or something odd."""
        rate = self.chance.choice(RATES)
        count = int(seconds * rate)
        recordings = self._shared("audio/di/*", "audio/phrases/*.wav")
        kind = self.chance.choice(("recording", "recording", "noise", "silence", "constant", "loud", "nan"))
        if kind == "recording" and recordings:
            path = self.chance.choice(recordings)
            try:
                with soundfile.SoundFile(path) as file:
                    file.seek(self.chance.randrange(max(1, file.frames - count)))
                    return file.read(count, always_2d=True), file.samplerate
            except (soundfile.SoundFileError, RuntimeError):
                pass
        x = np.random.default_rng(self.chance.randrange(1 << 30)).standard_normal(
            (count, self.chance.choice((1, 1, 2)))
        )
        factor = {"silence": 0.0, "loud": 10.0}.get(kind, 0.1)
        x = np.full_like(x, 0.3) if kind == "constant" else factor * x
        if kind == "nan" and count:
            x[count // 2] = np.nan
        return x, rate

    def audio(self, seconds: float = 0.3) -> Path:
        """Write a sound file, sometimes damaged, sometimes of no or of very little length."""
        x, rate = self.signal(self.chance.choice((0.0, 0.001, seconds, seconds, seconds)))
        suffix, subtype = self.chance.choice(AUDIO)
        if not np.isfinite(x).all() or np.abs(x).max(initial=0) > 1:  # encoders of other formats crash
            suffix, subtype = "wav", "FLOAT"
        path = self.path(suffix)
        try:
            soundfile.write(path, x, rate, subtype)
        except (RuntimeError, ValueError):
            soundfile.write(path.with_suffix(".wav"), x, rate, "FLOAT")
            path = path.with_suffix(".wav")
        return self.damaged(path)

    def pair(self) -> tuple[Path, Path]:
        """Write a dry and a wet file that belong together, or nearly."""
        x, rate = self.signal(6.0)
        drive = self.chance.choice((1.0, 5.0, 50.0))
        wet = np.tanh(drive * np.roll(x, self.chance.choice((0, 0, 100, -50)), 0))
        dry, target = self.path("wav"), self.path("wav")
        soundfile.write(dry, x, rate, "FLOAT")
        soundfile.write(target, wet[: len(wet) - self.chance.choice((0, 0, rate))], rate, "FLOAT")
        return self.damaged(dry, 0.1), self.damaged(target, 0.1)

    # -- models, boards and songs ----------------------------------------------------------------------------------

    def model(self) -> Path:
        """Write a capture of any known format, or a file that is none."""
        known = self._shared(
            "models/**/*.nam", "models/**/*.json", "models/**/*.ts", "models/**/*.onnx", "models/**/*.nm"
        )
        small = [path for path in known if path.stat().st_size < 500_000]
        path = self.path("nam")
        if small and self.chance.random() < 0.6:
            shutil.copy(self.chance.choice(small), path)
        else:
            path.write_text(json.dumps(DOCUMENTS[self.chance.choice(sorted(DOCUMENTS))]()))
        return self.damaged(path)

    def response(self) -> Path:
        """Write an impulse response, in one of many wrappings."""
        known = self._shared("cases/ir/*", "audio/ir/*")
        if known and self.chance.random() < 0.5:
            path = self.path(self.chance.choice(("wav", "flac", "mp3", "caf")))
            shutil.copy(self.chance.choice(known), path)
            return self.damaged(path)
        return self.audio(0.05)

    def song(self) -> Path:
        """Write a short MIDI file; those that went wrong elsewhere are among them."""
        path = self.path("mid")
        known = self._shared("cases/midi/*.mid")
        if known and self.chance.random() < 0.3:
            shutil.copy(self.chance.choice(known), path)
        else:
            _short_song(self.chance, self._shared("midi/*.mid")).save(path)
        return self.damaged(path)

    def board(self) -> Path:
        """Write a board file whose slots name other files made here."""
        slots = [self._slot(0) for _ in range(self.chance.randrange(4))]
        lines = ["board: 1", "slots:" if slots else "slots: []", *slots]
        if self.chance.random() < 0.3:
            lines.append(f"macros: [{{name: A, to: {self.word()}, min: {self.number()}}}]")
        path = self.path("yaml")
        path.write_text("\n".join(lines) + "\n")
        return self.damaged(path, 0.2)

    def _slot(self, depth: int) -> str:
        plugins = (
            "Gain",
            "Delay",
            "Reverb",
            "Compressor",
            "Resample",
            "GSMFullRateCompressor",
            "MP3Compressor",
            "Phaser",
        )
        name = self.chance.choice(plugins)
        knob = self.chance.choice(("gain_db", "feedback", "room_size", "rate_hz", "quality", "vbr_quality", "mix"))
        kinds: dict[str, Callable[[], str]] = {
            "plugin": lambda: f"plugin: {name}, set: {{{knob}: {self.number()}}}",
            "pedal": lambda: f"pedal: tube-screamer, set: {{drive: {self.number()}}}",
            "model": lambda: (
                f"model: {json.dumps(str(self.model()))}, level: {self.chance.choice(('raw', 'normalized'))}"
            ),
            "ir": lambda: f"ir: {json.dumps(str(self.response()))}, mix: {self.number()}",
            "word": lambda: f"{self.word() or 'x'}: {self.number()}",
            "name": lambda: f"plugin: Gain, name: {self.number()}",
        }
        return f"  - {{{kinds[self.chance.choice(sorted(kinds))]()}}}"

    def number(self) -> str:
        """Return text that may be a number."""
        return self.chance.choice((*NUMBERS, str(round(self.chance.uniform(-2, 2), 3))))

    def word(self) -> str:
        """Return text that may be a name or a path."""
        return self.chance.choice(WORDS)

    # -- damage ----------------------------------------------------------------------------------------------------

    def damaged(self, path: Path, chance: float = 0.35) -> Path:
        """Return the path; with some chance its content is cut, changed, or replaced."""
        if self.chance.random() > chance:
            return path
        data = bytearray(path.read_bytes())
        kind = self.chance.choice(
            ("cut", "flip", "flip", "header", "grow", "empty", "text", "pointer", "folder", "gone")
        )
        if kind == "cut" and data:
            data = data[: self.chance.randrange(len(data))]
        elif kind in ("flip", "header") and data:
            for _ in range(self.chance.choice((1, 3, 30))):
                reach = min(len(data), 64) if kind == "header" else len(data)
                data[self.chance.randrange(reach)] = self.chance.randrange(256)
        elif kind == "grow":
            data += self.chance.randbytes(100)
        elif kind == "empty":
            data = bytearray()
        elif kind == "text":
            data = bytearray(_changed_text(self.chance, data))
        elif kind == "pointer":
            data = bytearray(b"version https://git-lfs.github.com/spec/v1\noid sha256:0\nsize 12345\n")
        path.unlink()
        if kind == "folder":
            path.mkdir()
        elif kind != "gone":
            path.write_bytes(data)
        return path


def _changed_text(chance: random.Random, data: bytearray) -> bytes:
    """Replace a random number in a text by something else."""
    digits = [i for i, byte in enumerate(data) if chr(byte).isdigit()]
    if not digits:
        return bytes(data)
    at = chance.choice(digits)
    return bytes(data[:at]) + chance.choice(NUMBERS).encode() + bytes(data[at + 1 :])


def _short_song(chance: random.Random, songs: list[Path]) -> mido.MidiFile:
    """Return a second of a song, or of random messages."""
    made = mido.MidiFile(ticks_per_beat=chance.choice((1, 96, 480)))
    track = mido.MidiTrack()
    made.tracks.append(track)
    if songs and chance.random() < 0.5:
        seconds = 0.0
        for message in mido.MidiFile(chance.choice(songs)):
            seconds += message.time
            if seconds > 1 or len(track) > 200:
                break
            track.append(message.copy(time=min(50, round(message.time * 96))))
        return made
    for _ in range(chance.randrange(30)):
        track.append(_message(chance))
    return made


def _message(chance: random.Random) -> Any:
    kind = chance.choice(("note_on", "note_on", "note_off", "control_change", "pitchwheel", "program_change"))
    message = mido.Message(kind, channel=chance.randrange(3), time=chance.randrange(20))
    if kind in ("note_on", "note_off"):
        return message.copy(note=chance.randrange(128), velocity=chance.randrange(128))
    if kind == "control_change":
        return message.copy(
            control=chance.choice((1, 6, 7, 10, 11, 64, 100, 101, 120, 123)), value=chance.randrange(128)
        )
    return message
