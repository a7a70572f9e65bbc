"""Decide which instruments play a song: one part for each channel and sound.

A part has as many instruments as its notes need, because one instrument has eight voices.
"""

from __future__ import annotations

import copy
from collections.abc import Sequence
from dataclasses import dataclass, replace
from statistics import median

import mido

from instruments.balance import UNBALANCED, Balance, find_balance, measure_balance
from instruments.base import VOICES, Instrument
from instruments.channels import VOLUME
from instruments.families import open_instrument
from instruments.general_midi import DRUM_CHANNEL, PROGRAMS, choose_drums, choose_sound
from instruments.keys import KeyFollower, starts, stops
from instruments.song import Song

DEFAULT_VOLUME = 100
"""Value of controller 7 in General MIDI, for channels that do not set it."""
BASS_DRUM = 36
SNARE = 38
"""Keys of General MIDI's drum map whose loudness is that of the drums."""


@dataclass(frozen=True)
class Part:
    """What one sound plays of one channel.

    Attributes:
        channel: counted from 0.
        instrument: that plays it.
        messages: with times in seconds.
        balance: brings the sound to the loudness of the others.
        remark: sentence on what is not played as the song says. Empty if all of it is.
    """

    channel: int
    instrument: Instrument
    messages: Sequence[mido.Message]
    balance: Balance = UNBALANCED
    remark: str = ""


def assigned_part(song: Song, channel: int, sound: str) -> Part:
    """Return the part of a channel whose sound the user chose. It is played as it is, without balance.

    Args:
        song: whose channel it is.
        channel: 0..15.
        sound: name of a sound, or path of a file.

    Raises:
        NeuralFXError: there is no such sound.
    """
    messages = song.channels[channel]
    programs = {message.program for message in messages if message.type == "program_change"}
    remark = ""
    if len(programs) > 1:
        remark = f"channel {channel + 1} changes its program; one instrument plays all of it"
    return Part(channel, open_instrument(sound), messages, remark=remark)


def general_midi_parts(song: Song, channel: int) -> list[Part]:
    """Return the parts of a channel whose sounds its programs choose.

    Programs of the same sound share a part.

    Args:
        song: as `read_song` returns it.
        channel: counted from 0.

    Returns:
        In the order in which they begin. Empty for drums, if there is no family of drums.
    """
    messages = song.channels[channel]
    if not any(message.type == "control_change" and message.control == VOLUME for message in messages):
        volume = mido.Message("control_change", channel=channel, control=VOLUME, value=DEFAULT_VOLUME)
        messages = [volume, *messages]
    if channel == DRUM_CHANNEL:
        return _drum_parts(channel, messages)
    played = _notes_by_program(messages)
    choices = {program: choose_sound(program, notes) for program, notes in played.items()}
    parts = []
    for sound in dict.fromkeys(choice.sound for choice in choices.values()):
        programs = tuple(program for program, choice in choices.items() if choice.sound == sound)
        instrument = open_instrument(sound)
        notes = [note for program in programs for note in played[program]]
        balance = find_balance(sound) or measure_balance(instrument, [round(median(notes))])
        own = [balance.message(message) for message in _of_programs(messages, programs)]
        remark = _remark(channel, sound, [(program, choices[program].reason) for program in programs])
        parts.append(Part(channel, instrument, own, balance, remark))
    return parts


def _drum_parts(channel: int, messages: Sequence[mido.Message]) -> list[Part]:
    sound = choose_drums()
    if sound is None:
        return []
    drums = open_instrument(sound)
    return [Part(channel, drums, messages, measure_balance(drums, (BASS_DRUM, SNARE)))]


def _remark(channel: int, sound: str, reasons: Sequence[tuple[int, str]]) -> str:
    """Return a sentence about the programs that a sound plays in the place of their own."""
    named = [f"{PROGRAMS[program]} ({reason})" for program, reason in reasons if reason]
    return f"channel {channel + 1}: {sound} plays {', '.join(named)}" if named else ""


def _notes_by_program(messages: Sequence[mido.Message]) -> dict[int, list[int]]:
    """Return the notes that each program plays. A channel begins with program 0."""
    program = 0
    found: dict[int, list[int]] = {}
    for message in messages:
        if message.type == "program_change":
            program = message.program
        elif starts(message):
            found.setdefault(program, []).append(message.note)
    return found


def _of_programs(messages: Sequence[mido.Message], programs: Sequence[int]) -> list[mido.Message]:
    """Return the messages of a channel without the notes that begin under other programs."""
    program = 0
    kept = []
    for message in messages:
        if message.type == "program_change":
            program = message.program
        if program in programs or not starts(message):
            kept.append(message)
    return kept


def split_voices(part: Part) -> list[Part]:
    """Split a part into as many parts as it needs, so that no note takes the voice of one that is held.

    A part whose `voices` parameter is below its maximum stays whole.

    Args:
        part: with the parameters of its instrument set.

    Returns:
        Parts with instruments of their own and equal settings. A part with few notes is returned alone.
    """
    if round(part.instrument.voices) < VOICES:
        return [part]
    lines = _split(part.messages)
    instruments = [part.instrument, *(copy.copy(part.instrument) for _ in lines[1:])]
    return [
        replace(part, instrument=instrument, messages=line) for instrument, line in zip(instruments, lines, strict=True)
    ]


def _split(messages: Sequence[mido.Message]) -> list[list[mido.Message]]:
    """Return messages in lines with at most `VOICES` notes held at once, by keys or pedals."""
    lines: list[list[mido.Message]] = [[]]
    followers = [KeyFollower()]
    for position, message in enumerate(messages):
        if starts(message):
            index = _free_line(followers, message.note)
            if index == len(lines):
                # The new line begins with the controllers that the others have got so far.
                lines.append([earlier for earlier in messages[:position] if not _is_note(earlier)])
                followers.append(_followed(lines[-1]))
            lines[index].append(message)
            followers[index].follow(message)
        else:
            for line, follower in zip(lines, followers, strict=True):
                line.append(message)
                follower.follow(message)
    return lines


def _free_line(followers: Sequence[KeyFollower], note: int) -> int:
    """Return the line for a new note: one that holds its key, else one with a free voice, else a new one."""
    for index, follower in enumerate(followers):
        if note in follower.notes:
            return index
    for index, follower in enumerate(followers):
        if len(follower.notes) < VOICES:
            return index
    return len(followers)


def _followed(messages: Sequence[mido.Message]) -> KeyFollower:
    follower = KeyFollower()
    for message in messages:
        follower.follow(message)
    return follower


def _is_note(message: mido.Message) -> bool:
    return starts(message) or stops(message)
