"""Read the options of `neural-fx play` that say which instrument plays what."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass

from instruments.arrangement import Part, assigned_part, general_midi_parts, split_voices
from instruments.general_midi import DRUM_CHANNEL
from instruments.song import Song
from neural_fx.errors import NeuralFXError

GENERAL_MIDI = "general-midi"
"""Value of ``--instrument`` that lets the programs of the song choose."""


@dataclass(frozen=True)
class Arrangement:
    """Which instruments play a song.

    Attributes:
        parts: of each channel that is played, counted from 0.
        silent: channels that are not played.
        remarks: sentences for the user.
    """

    parts: Mapping[int, Sequence[Part]]
    silent: Sequence[int]
    remarks: Sequence[str]

    def sounds(self, channel: int) -> str:
        """Return the names of the sounds of a channel."""
        return ", ".join(dict.fromkeys(part.instrument.sound for part in self.parts[channel]))


def arrange(song: Song, instrument: str | None, channel_options: Sequence[str], settings: Sequence[str]) -> Arrangement:
    """Choose the instruments of a song from the options of the command.

    Args:
        song: that is played.
        instrument: of the channels that `channel_options` does not name. None leaves them silent, unless there are no
            `channel_options` either: then it is `GENERAL_MIDI`.
        channel_options: as ``N=INSTRUMENT``, N counted from 1.
        settings: as ``PARAM=VALUE`` or ``N.PARAM=VALUE``.

    Raises:
        NeuralFXError: an option is not valid, or no channel has an instrument.
        ParameterError: an unknown parameter or a value out of range.
    """
    named = _channels(channel_options)
    if instrument is None and not named:
        instrument = GENERAL_MIDI
    found = {channel: _channel_parts(song, channel, named.get(channel), instrument) for channel in song.channels}
    parts = {channel: own for channel, own in found.items() if own}
    silent = [channel for channel in found if channel not in parts]
    if not parts:
        raise NeuralFXError(
            f"no channel has an instrument: the song has notes on {_list(song.channels)}; "
            "add --instrument INSTRUMENT or --channel N=INSTRUMENT"
        )
    _set(settings, parts)
    remarks = [
        f"channel {number + 1} has no notes; the song has {_list(song.channels)}"
        for number in named
        if number not in song.channels
    ]
    remarks += [part.remark for own in parts.values() for part in own if part.remark]
    remarks += [_silence(song, channel) for channel in silent]
    split = {channel: [line for part in own for line in split_voices(part)] for channel, own in parts.items()}
    for channel, own in parts.items():
        if len(split[channel]) > len(own):
            remarks.append(f"channel {channel + 1} holds many notes at once; {len(split[channel])} instruments play it")
    return Arrangement(split, silent, remarks)


def _channel_parts(song: Song, channel: int, named: str | None, instrument: str | None) -> list[Part]:
    """Return the parts of one channel. A channel without an instrument has none."""
    if named is not None and named != GENERAL_MIDI:
        return [assigned_part(song, channel, named)]
    if GENERAL_MIDI in (named, instrument):
        return general_midi_parts(song, channel)
    if instrument is None or channel == DRUM_CHANNEL:
        return []
    return [assigned_part(song, channel, instrument)]


def _silence(song: Song, channel: int) -> str:
    """Return a sentence about a channel that is not played."""
    if channel == DRUM_CHANNEL:
        return f"channel {channel + 1} is drums: skipped"
    return f"channel {channel + 1} (program {song.programs.get(channel, 0) + 1}) has no instrument: silent"


def _channels(texts: Sequence[str]) -> dict[int, str]:
    found = {}
    for text in texts:
        number, equals, timbre = text.partition("=")
        if not equals or not timbre or not number.strip().isdigit() or not 1 <= int(number) <= 16:
            raise NeuralFXError(f"--channel {text}: expected N=TIMBRE with N from 1 to 16, such as 1=violin")
        found[int(number) - 1] = timbre.strip()
    return found


def _set(settings: Sequence[str], parts: Mapping[int, Sequence[Part]]) -> None:
    """Set parameters. A setting for all channels reaches the instruments that have the parameter."""
    for setting in settings:
        name, equals, value = setting.partition("=")
        number, dot, parameter = name.partition(".")
        chosen = [part.instrument for own in parts.values() for part in own]
        if dot:
            if not number.isdigit() or int(number) - 1 not in parts:
                raise NeuralFXError(f"--set {setting}: no instrument on channel {number}; playing: {_list(parts)}")
            chosen = [part.instrument for part in parts[int(number) - 1]]
            name = parameter
        if not equals or not name:
            raise NeuralFXError(f"--set {setting}: expected PARAM=VALUE or N.PARAM=VALUE, such as vibrato=0.5")
        having = [player for player in chosen if name in player.parameters]
        for player in having or chosen:
            player.set_parameter(name, value)


def _list(channels: Iterable[int]) -> str:
    return "channels " + ", ".join(str(number + 1) for number in channels)
