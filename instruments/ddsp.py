"""Play the timbres of `neural_fx.timbre` from notes: harmonics and noise (DDSP, Engel et al. 2020)."""

from __future__ import annotations

from dataclasses import dataclass, field
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from instruments.base import PLAYING, VOICES, Family, Instrument, Touch, note_hz
from instruments.families import InstrumentFamily
from neural_fx.engines import cpu
from neural_fx.parameters import Parameter, Ramp
from neural_fx.timbre.analysis import HOP, RATE
from neural_fx.timbre.compiled import CompiledNotes
from neural_fx.timbre.files import Habits, Timbre
from neural_fx.timbre.library import TIMBRES, chosen, timbre_card
from neural_fx.timbre.synthesizer import BREATH, BRIGHTNESS, MORPH, REVERB, Rooms, Score, Synthesizer

Audio = NDArray[np.float32]

PARAMETERS = (
    *PLAYING,
    BRIGHTNESS,
    Parameter("vibrato", 0, 4, 1, description="scales the vibrato, which begins some time into a note"),
    BREATH,
    MORPH,
    REVERB,
)
_KNOBS = ("brightness", "breath", "morph", "loudness_db")

_CLEAR = 0.98  # confidence of a settled tone
_SILENT_DB = -95.0
_VIBRATO_BEGINS, _VIBRATO_FULL = 0.3, 0.9  # seconds into a note
_SLOWEST, _SLOWEST_RELEASE = 0.12, 150.0  # attack in s, release in dB/s: rooms in recordings make both slower
_LEAST_VIBRATO = 6.0  # cents, for timbres whose recordings have none
_FADE = 96  # samples in which a stolen voice fades out
_PLAYING = {
    "confidence": _CLEAR, "silent_db": _SILENT_DB, "vibrato_begins": _VIBRATO_BEGINS, "vibrato_full": _VIBRATO_FULL,
    "slowest_attack": _SLOWEST, "slowest_release": _SLOWEST_RELEASE, "least_vibrato": _LEAST_VIBRATO, "fade": _FADE,
}  # fmt: skip


class DDSP(Instrument):
    """A timbre played from MIDI, with up to eight voices.

    Attack, release and vibrato are those of the recordings. Velocity sets the loudness, and with it the colour. These
    controllers are supported:

    - 1 vibrato, 2 and 11 dynamics, 7 volume, 64 sustain, 74 brightness;
    - pitch bend;
    - aftertouch, which adds loudness and vibrato.

    Args:
        timbre: the name of a bundled timbre, the path of a timbre file, or a `Timbre`.
        morph_to: a second timbre, which `morph` moves to.
        parameters: start values of `octave`, `tuning`, `bend_range`, `voices`, `glide`, `loudness_db`, `brightness`,
            `vibrato`, `breath`, `morph` and `reverb`.

    Raises:
        NeuralFXError: there is no timbre of that name. Lists them.
        ModelError: the file is not a timbre file.
        ParameterError: an unknown parameter or a value out of range.
    """

    PARAMETERS = PARAMETERS
    brightness: float
    vibrato: float
    breath: float
    morph: float
    reverb: float

    def __init__(
        self,
        timbre: str | Path | Timbre = "violin",
        *,
        morph_to: str | Path | Timbre | None = None,
        **parameters: float,
    ) -> None:
        super().__init__(**parameters)
        self.timbres, self.sources = chosen(timbre, morph_to)

    def open_family(self) -> Family:
        return _CompiledVoices(self) if cpu.available() else _Voices(self)

    @property
    def sound(self) -> str:
        return self.timbres[0].name

    def __repr__(self) -> str:
        return self.described(f"instruments.DDSP {' to '.join(t.name for t in self.timbres)!r}")


class _CompiledVoices:
    """Voices of one instrument in the compiled kernels."""

    sample_rate = float(RATE)

    def __init__(self, instrument: DDSP) -> None:
        self.instrument = instrument
        self.notes = CompiledNotes(instrument.timbres, VOICES, _PLAYING, instrument._values)
        self.sounding = self.notes.sounding
        self.level = self.notes.level

    def start(self, voice: int, touch: Touch) -> None:
        self.notes.start(voice, _touched(touch), touch.held)

    def change(self, voice: int, touch: Touch) -> None:
        self.notes.change(voice, _touched(touch), touch.held)

    def render(self, count: int) -> Audio:
        return self.notes.render(count, self.instrument._values)


def _touched(touch: Touch) -> tuple[float, ...]:
    """Return what the kernels' voices take of a touch, in their order."""
    given = touch.controls.get
    return (
        touch.pitch, touch.velocity, touch.pressure, given(1, 0.0), given(2, touch.velocity), given(7, 1.0),
        given(11, 1.0), given(74, 0.5),
    )  # fmt: skip


@dataclass
class _Note:
    """One voice: what its player does, and the samples that are rendered but not yet played."""

    touch: Touch = field(default_factory=Touch)
    frames: int = 0  # since it began
    released: int = 0  # frames since its release
    on: bool = False
    loudness: float = _SILENT_DB
    ready: Audio = field(default_factory=lambda: np.zeros(0, np.float32))


class _Voices:
    """Voices of one instrument, which are all computed together, hop by hop."""

    sample_rate = float(RATE)

    def __init__(self, instrument: DDSP) -> None:
        self.instrument = instrument
        self.synthesizer = Synthesizer(instrument.timbres, VOICES)
        self.rooms = Rooms(instrument.timbres, instrument.reverb, instrument.morph)
        self.ramps = {name: Ramp(getattr(instrument, name), 12) for name in _KNOBS}
        self.notes = [_Note() for _ in range(VOICES)]
        self.at = 0  # samples into the hop
        self.knobs = {name: float(getattr(instrument, name)) for name in _KNOBS}

    # -- what the player does --------------------------------------------------------------------------------------

    def start(self, voice: int, touch: Touch) -> None:
        fading = self.notes[voice].ready[:_FADE]
        fading = fading * np.linspace(1, 0, len(fading), endpoint=False, dtype=np.float32)
        self.synthesizer.restart(voice)
        self.notes[voice] = note = _Note(touch, on=True)
        if self.at:  # it begins inside a hop of the others, and is ahead of them by the rest of its first hop
            note.ready = self._hops([voice])[0]
        if len(fading):
            note.ready = np.concatenate((note.ready, np.zeros(max(0, len(fading) - len(note.ready)), np.float32)))
            note.ready[: len(fading)] += fading

    def change(self, voice: int, touch: Touch) -> None:
        self.notes[voice].touch = touch

    def sounding(self, voice: int) -> bool:
        return self.notes[voice].on

    def level(self, voice: int) -> float:
        return self.notes[voice].loudness

    # -- sound -----------------------------------------------------------------------------------------------------

    def render(self, count: int) -> Audio:
        parts = []
        while count > 0:
            if self.at == 0:
                self._hop()
            size = min(count, HOP - self.at)
            parts.append(self._take(size))
            self.at = (self.at + size) % HOP
            count -= size
        direct = np.concatenate(parts) if parts else np.zeros(0, np.float32)
        return self.rooms.process(direct, self.instrument.reverb, self.instrument.morph)

    def _take(self, size: int) -> Audio:
        out = np.zeros(size, np.float32)
        for note in self.notes:
            if len(note.ready):
                part, note.ready = note.ready[:size], note.ready[size:]
                out[: len(part)] += part
        return out

    def _hop(self) -> None:
        for name, ramp in self.ramps.items():
            ramp.aim(getattr(self.instrument, name))
            self.knobs[name] = float(np.atleast_1d(ramp.next(1))[0])
        which = [i for i, note in enumerate(self.notes) if note.on]
        if not which:
            return
        for voice, audio in zip(which, self._hops(which), strict=True):
            note = self.notes[voice]
            room = len(note.ready)  # a stolen note may still fade out where this one begins
            if room and note.frames == 1:
                audio[:room] += note.ready
                note.ready = audio
            else:
                note.ready = np.concatenate((note.ready, audio))

    def _hops(self, which: list[int]) -> Audio:
        """Render the next hop of some voices: (voices, HOP)."""
        habits = self.instrument.timbres[0].habits.between(self.instrument.timbres[-1].habits, self.knobs["morph"])
        rows = np.array([self._frame(self.notes[voice], habits) for voice in which])[:, :, None]
        pitch, clear, loudness, gain, bright = (rows[:, i] for i in range(5))
        score = Score(
            np.clip(note_hz(pitch), 20, 12000), clear, loudness, gain, bright, self.knobs["breath"], self.knobs["morph"]
        )
        return self.synthesizer.process(score, which)

    def _frame(self, note: _Note, habits: Habits) -> tuple[float, float, float, float, float]:
        """Return pitch, confidence, loudness, gain and brightness of a voice at its next frame."""
        note.frames += 1
        touch, seconds = note.touch, note.frames * HOP / RATE
        controls = touch.controls
        strength = controls.get(2, touch.velocity)
        loudness = habits.quiet_db - 8 + strength**0.8 * (habits.loud_db - habits.quiet_db + 11)
        loudness += 30 * (controls.get(11, 1.0) - 1) + 6 * touch.pressure + self.knobs["loudness_db"]
        attack = min(_SLOWEST, max(0.01, habits.attack_seconds * (1.4 - 0.8 * touch.velocity)))
        rising = max(0.0, 1 - seconds / attack)
        loudness -= 30 * rising**2
        if not touch.held:
            note.released += 1
            loudness -= max(_SLOWEST_RELEASE, habits.release_db_per_second) * note.released * HOP / RATE
            if loudness < _SILENT_DB:
                note.on = False
        else:
            note.released = 0
        note.loudness = loudness
        late = min(1.0, max(0.0, (seconds - _VIBRATO_BEGINS) / (_VIBRATO_FULL - _VIBRATO_BEGINS)))
        depth = max(_LEAST_VIBRATO, habits.vibrato_cents) * late + 50 * controls.get(1, 0.0) + 20 * touch.pressure
        swing = self.instrument.vibrato * depth / 100 * np.sin(2 * np.pi * habits.vibrato_hz * seconds)
        volume = 40 * np.log10(max(controls.get(7, 1.0), 1e-3))
        bright = self.knobs["brightness"] + 8 * (controls.get(74, 0.5) - 0.5)
        return touch.pitch + swing, _CLEAR - 0.3 * rising, loudness, volume, bright


def _sources(instrument: DDSP) -> dict[str, str | Path]:
    return dict(zip(("instrument", "morph_to"), instrument.sources, strict=False))


def _is_archive(path: Path) -> bool:
    with path.open("rb") as file:
        return file.read(10)[8:] == b'{"'


FAMILY = InstrumentFamily(
    name="ddsp",
    kind=DDSP,
    sounds=lambda: TIMBRES,
    open=DDSP,
    matches=_is_archive,
    options=("morph_to",),
    sources=_sources,
    card=timbre_card,
)
