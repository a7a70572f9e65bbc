"""Define what all instruments share: notes, voices, bends, pedals, tuning and rendering.

An instrument subclasses `Instrument` and implements `open_family`. This returns a `Family`, which makes the sound: it
starts, changes and releases voices, and renders the sum of them. It runs at one sample rate of its own. It never sees
MIDI, because the base class turns messages into `Touch`: what a player does to a voice at the moment.
"""

from __future__ import annotations

import math
from abc import abstractmethod
from collections.abc import Iterable
from dataclasses import dataclass, field
from operator import itemgetter
from typing import Any, Protocol, TypeAlias

import mido
import numpy as np
from numpy.typing import NDArray

from instruments.channels import ALL_NOTES_OFF, ALL_SOUND_OFF, SOSTENUTO, Channel
from neural_fx.errors import NeuralFXError, reason
from neural_fx.parameters import Parameter, Parametric
from neural_fx.resampling import StreamResampler, round_trip_latency

Audio = NDArray[np.float32]
MidiEvent: TypeAlias = "mido.Message | tuple[bytes, float]"
"""A mido message whose `time` is in seconds from the start of the call, or its bytes and that time."""

VOICES = 8
"""The most voices that can sound at once."""

PLAYING = (
    Parameter("octave", -3, 3, 0, "octaves", 0, "transposes by octaves"),
    Parameter("tuning", -100, 100, 0, "cents", description="tunes all notes"),
    Parameter("bend_range", 0, 24, 2, "semitones", 0, "range of a full pitch bend; RPN 0 of a channel overrides it"),
    Parameter("voices", 1, VOICES, VOICES, smoothing=0, description="most at once; 1 plays overlapping notes legato"),
    Parameter("glide", 0, 2, 0.05, "s", 0, "time of a slide between legato notes"),
    Parameter("loudness_db", -40, 20, 0, "dB", description="makes all notes louder or softer"),
)  # fmt: skip


@dataclass
class Touch:
    """What a player does to a voice.

    Attributes:
        pitch: MIDI note number with tuning, glide and bend: 69.0 is 440 Hz.
        velocity: 0..1, of the note.
        pressure: 0..1, of aftertouch.
        controls: values 0..1 of the MIDI controllers that were moved, by number.
        held: whether the key or a pedal holds the note.
    """

    pitch: float = 69.0
    velocity: float = 0.0
    pressure: float = 0.0
    controls: dict[int, float] = field(default_factory=dict)
    held: bool = False


class Family(Protocol):
    """Voices that make sound. The base class numbers them from 0 to `VOICES` - 1.

    Attributes:
        sample_rate: Hz at which it renders.
    """

    sample_rate: float

    def start(self, voice: int, touch: Touch) -> None:
        """Begin a note at the next sample.

        Args:
            voice: number of the voice. If it still sounds, it is stolen.
            touch: what the player does.
        """

    def change(self, voice: int, touch: Touch) -> None:
        """Change a voice from the next sample on.

        Args:
            voice: number of the voice.
            touch: what the player does now. The note is released when `held` becomes False.
        """

    def sounding(self, voice: int) -> bool:
        """Return whether a voice still makes sound."""

    def level(self, voice: int) -> float:
        """Return roughly how loud a voice is, in dB. The quietest released voice is stolen first."""

    def render(self, count: int) -> Audio:
        """Render the next `count` samples of all voices together: (count,) float32."""


@dataclass
class _Voice:
    touch: Touch
    note: int = -1
    channel: int = 0
    down: bool = False
    caught: bool = False  # by the sostenuto pedal
    age: int = 0
    began: int = 0  # samples since the performance began
    off_due: bool = False  # its key was still down from the note before, whose note-off may follow
    slide: float = 0.0  # semitones still to glide
    pressure: float = 0.0


class Instrument(Parametric):
    """Notes in, audio out.

    It is called like pedalboard's VST3 instruments, and its parameters are attributes.

    Args:
        parameters: start values by name.

    Raises:
        ParameterError: an unknown name (lists the valid ones) or a value out of range.
    """

    PARAMETERS: tuple[Parameter, ...] = PLAYING
    octave: float
    tuning: float
    bend_range: float
    voices: float
    glide: float
    loudness_db: float
    is_effect = False
    is_instrument = True

    def __init__(self, **parameters: float) -> None:
        super().__init__(**parameters)
        self._stream: Performance | None = None

    @property
    def sound(self) -> str:
        """Name of the sound, for lists and reports; the name of the class unless a family overrides it."""
        return type(self).__name__

    @abstractmethod
    def open_family(self) -> Family:
        """Return voices that have not played yet."""

    def __call__(
        self,
        midi_messages: Iterable[MidiEvent],
        duration: float,
        sample_rate: float,
        num_channels: int = 2,
        buffer_size: int = 8192,
        reset: bool = True,
    ) -> Audio:
        """Play MIDI messages.

        Messages of one time act in the given order, with one exception. If a key is struck again and the note-off of
        its old note has the same time, the note-off does not end the new note.

        Args:
            midi_messages: in any order, with times in seconds from the start of this call. Messages before 0 act at
                once. Messages after the end are left out.
            duration: seconds of audio to return.
            sample_rate: Hz.
            num_channels: of the result. All of them are equal.
            buffer_size: samples of the largest block that is rendered at once. The result does not depend on it.
            reset: True begins with silence, False continues the notes that sound.

        Returns:
            (num_channels, duration * sample_rate) float32.

        Raises:
            TypeError: one of the messages is not a MIDI message.
            ValueError: the duration is negative or not finite, or another number is not positive.
        """
        if not (math.isfinite(duration) and duration >= 0):
            raise ValueError(f"duration: expected seconds, got {duration}")
        if not (math.isfinite(sample_rate) and sample_rate > 0) or num_channels < 1 or buffer_size < 1:
            raise ValueError("sample_rate, num_channels and buffer_size must be positive")
        events = parse_messages(midi_messages)
        count = round(duration * sample_rate)
        with self._lock:
            if reset or self._stream is None or self._stream.sample_rate != sample_rate:
                self._stream = Performance(self, float(sample_rate))
            mono = self._stream.play(events, count, buffer_size)
        return np.repeat(mono[None], num_channels, 0)

    process = __call__

    def reset(self) -> None:
        """End all notes that sound, at once."""
        with self._lock:
            self._stream = None

    def __getstate__(self) -> dict[str, Any]:
        """Return the settings without the notes that sound."""
        return {**super().__getstate__(), "_stream": None}

    def __repr__(self) -> str:
        return self.described(f"instruments.{type(self).__name__}")


def parse_messages(messages: Iterable[MidiEvent]) -> list[tuple[float, mido.Message]]:
    """Sort messages by time. Messages of one time stay in the given order, and meta messages are left out.

    Args:
        messages: mido messages, or pairs of bytes and seconds.

    Returns:
        Pairs of seconds, at least 0, and message.

    Raises:
        TypeError: one of them is not a message.
        NeuralFXError: the bytes are not a MIDI message, or the time is not a finite number.
    """
    events = []
    for item in messages:
        if isinstance(item, tuple) and len(item) == 2:
            try:
                message = mido.Message.from_bytes(list(item[0]), time=float(item[1]))
            except (ValueError, TypeError, IndexError, OverflowError) as error:
                raise NeuralFXError(f"{item!r}: not a MIDI message with a time in seconds: {reason(error)}") from None
        elif isinstance(item, (mido.Message, mido.MetaMessage)):
            message = item
        else:
            raise TypeError(f"expected mido messages or (bytes, seconds), got {type(item).__name__}")
        if not math.isfinite(message.time):
            raise NeuralFXError(f"{message}: expected a time in seconds")
        if not message.is_meta:
            events.append((float(message.time), message))
    events.sort(key=itemgetter(0))
    return [(max(0.0, seconds), message) for seconds, message in events]


class Performance:
    """One performance of an instrument. It renders at the family's rate, and converts to the caller's.

    Args:
        instrument: that plays.
        sample_rate: of the output, in Hz.
    """

    def __init__(self, instrument: Instrument, sample_rate: float) -> None:
        self.instrument, self.sample_rate = instrument, sample_rate
        self.family = instrument.open_family()
        self.players = Players(instrument, self.family)
        self.rate = self.family.sample_rate
        self.converter: StreamResampler | None = None
        self.waiting = np.zeros(0, np.float32)
        self.done = 0  # samples returned, at the caller's rate
        self.rendered = 0  # samples rendered, at the family's rate
        if sample_rate != self.rate:
            self.converter = StreamResampler(self.rate, sample_rate, 1)
            ahead = round_trip_latency(sample_rate, self.rate)  # more than enough for one way
            self.waiting = np.zeros(ahead, np.float32)

    def play(self, events: list[tuple[float, mido.Message]], count: int, block: int) -> Audio:
        """Render the next samples.

        Args:
            events: seconds from the start of these samples and message, in the order of time.
            count: samples to return, at the caller's rate.
            block: samples of the largest block that is rendered at once.

        Returns:
            (count,) float32.
        """
        begin = self.done / self.sample_rate
        for seconds, message in events:
            at = round((begin + seconds) * self.rate)
            if seconds * self.sample_rate < count:
                self._render(at - self.rendered, block)
                self.players.receive(message)
        self._render(round((self.done + count) * self.rate / self.sample_rate) - self.rendered, block)
        if len(self.waiting) < count:  # the converter holds back a little more than expected
            self.waiting = np.concatenate((np.zeros(count - len(self.waiting), np.float32), self.waiting))
        out, self.waiting = self.waiting[:count], self.waiting[count:]
        self.done += count
        return out

    def _render(self, count: int, block: int) -> None:
        parts = [self.waiting]
        while count > 0:
            size = min(count, block, self.players.until)
            audio = self.family.render(size)
            self.players.advance(size)
            parts.append(audio if self.converter is None else self.converter.process(audio[None])[0])
            self.rendered += size
            count -= size
        self.waiting = np.concatenate(parts)


class Players:
    """Assigns MIDI messages to voices: which voice plays a note, how it is bent, which voice is stolen.

    Args:
        instrument: whose parameters apply.
        family: the voices.
    """

    step = 192
    """Samples between changes of bends and glides."""

    def __init__(self, instrument: Instrument, family: Family) -> None:
        self.instrument, self.family = instrument, family
        self.voices = [_Voice(Touch()) for _ in range(VOICES)]
        self.channels = [Channel() for _ in range(16)]
        self.clock = 0  # notes so far
        self.now = 0  # samples so far
        self.until = self.step  # samples to the next change

    def receive(self, message: mido.Message) -> None:
        """Apply a message now."""
        kind = message.type
        if kind == "note_on" and message.velocity > 0:
            self._press(message.channel, message.note, message.velocity / 127)
        elif kind in ("note_on", "note_off"):
            self._lift(message.channel, message.note)
        elif kind == "pitchwheel":
            self.channels[message.channel].bend = message.pitch / (8191 if message.pitch > 0 else 8192)
        elif kind == "aftertouch":
            self.channels[message.channel].pressure = message.value / 127
        elif kind == "polytouch":
            for voice in self.voices:
                if (voice.channel, voice.note) == (message.channel, message.note) and voice.touch.held:
                    voice.pressure = message.value / 127
        elif kind == "control_change":
            self._control(message.channel, message.control, message.value)
        elif kind in ("reset", "stop"):
            self.panic()
        self._update()

    def panic(self) -> None:
        """Release all notes and pedals."""
        for voice in self.voices:
            _release(voice)
        for channel in self.channels:
            channel.sustain = False
            channel.sostenuto = False
        self._update()

    def advance(self, count: int) -> None:
        """Advance time by `count` samples, and continue glides."""
        self.now += count
        self.until -= count
        if self.until == 0:
            self.until = self.step
            # A glide is exponential, and 95 % of it is done after the time of the knob.
            share = self.step / self.family.sample_rate / max(self.instrument.glide, 1e-3)
            for voice in self.voices:
                voice.slide = 0.0 if share >= 1 else voice.slide * math.exp(-3 * share)
            self._update()

    def _press(self, channel: int, note: int, velocity: float) -> None:
        self.clock += 1
        legato = self._legato(channel, note) if self.instrument.voices < 1.5 else None
        if legato is not None:
            legato.slide += legato.note - note
            legato.note = note
            legato.age = self.clock
            legato.began = self.now
            legato.off_due = False
            legato.touch.velocity = velocity
            return
        index = self._free(note, channel)
        old = self.voices[index]
        settings = self.channels[channel]
        voice = _Voice(Touch(69.0, velocity, settings.pressure, dict(settings.controls), True), note, channel, True)
        voice.age = self.clock
        voice.began = self.now
        if old.down and (old.note, old.channel) == (note, channel):
            voice.off_due = old.began < self.now or old.off_due
        self.voices[index] = voice
        voice.touch.pitch = self._pitch(voice)
        self.family.start(index, voice.touch)

    def _legato(self, channel: int, note: int) -> _Voice | None:
        """Return the voice that slides to a new note, if any. A key that is struck again starts a new note."""
        for i, voice in enumerate(self.voices):
            if voice.down and voice.channel == channel and voice.note != note and self.family.sounding(i):
                return voice
        return None

    def _free(self, note: int, channel: int) -> int:
        """Return the voice for a new note: that of the same key, else a silent, else a released, else the oldest."""
        allowed = range(round(self.instrument.voices))
        for i in allowed:
            if (self.voices[i].note, self.voices[i].channel) == (note, channel) and self.family.sounding(i):
                return i
        silent = [i for i in allowed if not self.family.sounding(i)]
        if silent:
            return silent[0]
        released = [i for i in allowed if not self.voices[i].touch.held]
        if released:
            return min(released, key=self.family.level)
        return min(allowed, key=lambda i: self.voices[i].age)

    def _lift(self, channel: int, note: int) -> None:
        for voice in self.voices:
            if (voice.channel, voice.note) != (channel, note) or not voice.down:
                continue
            if voice.off_due and voice.began == self.now:  # the off of the note before, after this one's on
                voice.off_due = False
                continue
            voice.down = False
            self._hold(voice)

    def _hold(self, voice: _Voice) -> None:
        """Release a voice that neither its key nor a pedal holds."""
        pedal = self.channels[voice.channel].sustain or voice.caught
        voice.touch.held = voice.touch.held and (voice.down or pedal)

    def _control(self, channel: int, number: int, value: int) -> None:
        settings = self.channels[channel]
        was_down = settings.sostenuto
        settings.control(number, value, self.instrument.bend_range)
        for voice in self.voices:
            if voice.channel != channel:
                continue
            if number == ALL_SOUND_OFF:
                _release(voice)
            elif number >= ALL_NOTES_OFF:
                voice.down = False
            elif number == SOSTENUTO and settings.sostenuto and not was_down:
                voice.caught = voice.down
            voice.caught = voice.caught and settings.sostenuto
            self._hold(voice)

    def _pitch(self, voice: _Voice) -> float:
        knobs = self.instrument
        settings = self.channels[voice.channel]
        bend = settings.bend * settings.bend_range(knobs.bend_range)
        tuning = settings.tuning + knobs.tuning / 100
        return float(voice.note + voice.slide + bend + tuning + 12 * round(knobs.octave))

    def _update(self) -> None:
        for i, voice in enumerate(self.voices):
            if voice.note >= 0 and self.family.sounding(i):
                settings = self.channels[voice.channel]
                voice.touch.pitch = self._pitch(voice)
                voice.touch.pressure = max(settings.pressure, voice.pressure)
                voice.touch.controls = settings.controls
                self.family.change(i, voice.touch)


def _release(voice: _Voice) -> None:
    """Release a voice, even if a key or a pedal holds it."""
    voice.down = False
    voice.caught = False
    voice.touch.held = False


def note_hz(pitch: NDArray[Any] | float) -> Any:
    """Convert MIDI note numbers, fractions allowed, to frequencies in Hz."""
    return 440.0 * 2 ** ((np.asarray(pitch) - 69) / 12)
