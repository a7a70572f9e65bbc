"""Instruments: notes in, audio out. They are called like pedalboard's VST3 instruments.

>>> import mido
>>> notes = [mido.Message("note_on", note=69, velocity=90, time=0.0), mido.Message("note_off", note=69, time=0.4)]
>>> DDSP("violin")(notes, duration=0.5, sample_rate=48000).shape
(2, 24000)

`base` has the class that all instruments derive from. Each family is one file, such as `ddsp`, with one object for the
registry `FAMILIES`. Other packages add families through the entry-point group ``neural_fx.instruments``.
"""

from instruments.autoregressive import Recurrent, WaveNet
from instruments.base import Family, Instrument, MidiEvent, Touch
from instruments.ddsp import DDSP
from instruments.drums import Drums
from instruments.families import FAMILIES, InstrumentFamily, open_instrument, sound_names
from instruments.latent.instrument import Latent
from instruments.player import InstrumentPlayer
from instruments.slot import InstrumentSlot

__all__ = [
    "DDSP",
    "FAMILIES",
    "Drums",
    "Family",
    "Instrument",
    "InstrumentFamily",
    "InstrumentPlayer",
    "InstrumentSlot",
    "Latent",
    "MidiEvent",
    "Recurrent",
    "Touch",
    "WaveNet",
    "open_instrument",
    "sound_names",
]
