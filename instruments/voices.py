"""Apply MIDI messages to the voices of a family: which voice plays a note, how it is bent, which voice is stolen."""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import TYPE_CHECKING

import mido

from instruments.channels import ALL_NOTES_OFF, ALL_SOUND_OFF, SOSTENUTO, Channel
from instruments.contract import VOICES, Family, Touch
from neural_fx import blocks

if TYPE_CHECKING:
    from instruments.base import Instrument


_LEAST_GLIDE = 1e-3  # seconds


@dataclass
class Voice:
    """The note of a voice. A voice that has not played yet has note -1.

    Attributes:
        touch: what the family gets to know.
        note: 0..127, key of the note.
        channel: 0..15, MIDI channel of the note.
        key_down: whether the key is down.
        sostenuto: whether the sostenuto pedal holds the note.
        number: number of the note in the performance, counted from 1.
        start: sample of the performance at which the note began.
        old_note_off_due: whether the key was still down from the note before, whose note-off may follow.
        glide: semitones above the note's own pitch. A glide moves it to 0.
        pressure: 0..1, of polyphonic aftertouch.
    """

    touch: Touch
    note: int = -1
    channel: int = 0
    key_down: bool = False
    sostenuto: bool = False
    number: int = 0
    start: int = 0
    old_note_off_due: bool = False
    glide: float = 0.0
    pressure: float = 0.0

    def release(self) -> None:
        """Release the note, even if a key or a pedal holds it."""
        self.key_down = False
        self.sostenuto = False
        self.touch.held = False


class VoiceAllocator:
    """Applies MIDI messages to the voices of a family.

    Args:
        instrument: whose parameters apply.
        family: makes the sound.

    Attributes:
        family: makes the sound.
        voices: notes of the voices.
        channels: settings of the 16 MIDI channels.
        position: samples since the performance began, at the family's rate.
        samples_to_update: samples until glides move on. `advance` never goes beyond them.
    """

    def __init__(self, instrument: Instrument, family: Family) -> None:
        self.family = family
        self.voices = [Voice(Touch()) for _ in range(VOICES)]
        self.channels = [Channel() for _ in range(16)]
        self.position = 0
        self.samples_to_update = blocks.CONTROL_STEP
        self._instrument = instrument
        self._notes_started = 0

    def receive(self, message: mido.Message) -> None:
        """Apply a message now."""
        kind = message.type
        if kind == "note_on" and message.velocity > 0:
            self._note_on(message.channel, message.note, message.velocity / 127)
        elif kind in ("note_on", "note_off"):
            self._note_off(message.channel, message.note)
        elif kind == "pitchwheel":
            # The wheel goes from -8192 to 8191, and both ends are a full bend.
            self.channels[message.channel].bend = message.pitch / (8191 if message.pitch > 0 else 8192)
        elif kind == "aftertouch":
            self.channels[message.channel].pressure = message.value / 127
        elif kind == "polytouch":
            for voice in self.voices:
                if (voice.channel, voice.note) == (message.channel, message.note) and voice.touch.held:
                    voice.pressure = message.value / 127
        elif kind == "control_change":
            self._control_change(message.channel, message.control, message.value)
        elif kind in ("reset", "stop"):
            self.panic()
        self._update_family()

    def panic(self) -> None:
        """Release all notes and pedals."""
        for voice in self.voices:
            voice.release()
        for channel in self.channels:
            channel.sustain = False
            channel.sostenuto = False
        self._update_family()

    def advance(self, count: int) -> None:
        """Advance time, and continue glides.

        Args:
            count: samples, at most `samples_to_update`.
        """
        self.position += count
        self.samples_to_update -= count
        if self.samples_to_update > 0:
            return
        self.samples_to_update = blocks.CONTROL_STEP
        # A glide is exponential, and 95 % of it is done after the time of the knob.
        fraction = blocks.CONTROL_STEP / self.family.sample_rate / max(self._instrument.glide, _LEAST_GLIDE)
        for voice in self.voices:
            voice.glide = 0.0 if fraction >= 1 else voice.glide * math.exp(-3 * fraction)
        self._update_family()

    # -- notes -------------------------------------------------------------------------------------------------------

    def _note_on(self, channel: int, note: int, velocity: float) -> None:
        self._notes_started += 1
        legato = self._legato_voice(channel, note)
        if legato is None:
            self._start_note(channel, note, velocity)
            return
        legato.glide += legato.note - note
        legato.note = note
        legato.number = self._notes_started
        legato.start = self.position
        legato.old_note_off_due = False
        legato.touch.velocity = velocity
        legato.touch.note = note

    def _start_note(self, channel: int, note: int, velocity: float) -> None:
        index = self._free_voice(channel, note)
        old = self.voices[index]
        settings = self.channels[channel]
        touch = Touch(
            velocity=velocity,
            pressure=settings.pressure,
            controls=dict(settings.controls),
            held=True,
            note=note,
            channel=channel,
        )
        voice = Voice(touch, note, channel, key_down=True, number=self._notes_started, start=self.position)
        if old.key_down and (old.note, old.channel) == (note, channel):
            voice.old_note_off_due = old.start < self.position or old.old_note_off_due
        self.voices[index] = voice
        touch.pitch = self._pitch(voice)
        self.family.start(index, touch)

    def _legato_voice(self, channel: int, note: int) -> Voice | None:
        """Return the voice that glides to a new note, if the instrument plays legato.

        A key that is struck again starts a new note.
        """
        if self._instrument.voices >= 1.5:
            return None
        for i, voice in enumerate(self.voices):
            if voice.key_down and voice.channel == channel and voice.note != note and self.family.sounding(i):
                return voice
        return None

    def _free_voice(self, channel: int, note: int) -> int:
        """Return the voice for a new note: that of the same key, else a silent, else a released, else the oldest."""
        allowed = range(round(self._instrument.voices))
        for i in allowed:
            if (self.voices[i].note, self.voices[i].channel) == (note, channel) and self.family.sounding(i):
                return i
        silent = [i for i in allowed if not self.family.sounding(i)]
        if silent:
            return silent[0]
        released = [i for i in allowed if not self.voices[i].touch.held]
        if released:
            return min(released, key=self.family.level)
        return min(allowed, key=lambda i: self.voices[i].number)

    def _note_off(self, channel: int, note: int) -> None:
        for voice in self.voices:
            if (voice.channel, voice.note) != (channel, note) or not voice.key_down:
                continue
            # Some programs send the note-off of the old note right after the note-on of the new one. It comes at the
            # same time, and must not end the new note.
            if voice.old_note_off_due and voice.start == self.position:
                voice.old_note_off_due = False
                continue
            voice.key_down = False
            self._release_unless_held(voice)

    # -- pedals and controllers --------------------------------------------------------------------------------------

    def _control_change(self, channel: int, number: int, value: int) -> None:
        settings = self.channels[channel]
        sostenuto_before = settings.sostenuto
        settings.control(number, value, self._instrument.bend_range)
        for voice in self.voices:
            if voice.channel != channel:
                continue
            if number == ALL_SOUND_OFF:
                voice.release()
            elif number >= ALL_NOTES_OFF:
                voice.key_down = False
            elif number == SOSTENUTO and settings.sostenuto and not sostenuto_before:
                voice.sostenuto = voice.key_down
            voice.sostenuto = voice.sostenuto and settings.sostenuto
            self._release_unless_held(voice)

    def _release_unless_held(self, voice: Voice) -> None:
        """Release a voice that neither its key nor a pedal holds."""
        pedal = self.channels[voice.channel].sustain or voice.sostenuto
        # A released note stays released, even if a pedal goes down while it fades.
        voice.touch.held = voice.touch.held and (voice.key_down or pedal)

    # -- what the family hears of ------------------------------------------------------------------------------------

    def _pitch(self, voice: Voice) -> float:
        """Return the pitch of a voice as a MIDI note number, with everything that moves it."""
        knobs = self._instrument
        settings = self.channels[voice.channel]
        bend = settings.bend * settings.bend_range(knobs.bend_range)
        tuning = settings.tuning + knobs.tuning / 100
        return float(voice.note + voice.glide + bend + tuning + 12 * round(knobs.octave))

    def _update_family(self) -> None:
        """Pass the pitch, pressure and controllers of all sounding voices to the family."""
        for i, voice in enumerate(self.voices):
            if voice.note >= 0 and self.family.sounding(i):
                settings = self.channels[voice.channel]
                voice.touch.pitch = self._pitch(voice)
                voice.touch.pressure = max(settings.pressure, voice.pressure)
                voice.touch.controls = settings.controls
                self.family.change(i, voice.touch)
