"""Define `WaveNet` and `Recurrent`, instruments whose networks draw one sample after another."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from functools import cache
from pathlib import Path
from typing import Any, ClassVar

from instruments.autoregressive.playing import Playing
from instruments.autoregressive.voices import AutoregressiveVoices
from instruments.base import PLAYING, Family, Instrument, MidiEvent
from instruments.contract import VOICES
from instruments.families import InstrumentFamily
from neural_fx.arrays import Array, Audio
from neural_fx.errors import NeuralFXError
from neural_fx.networks.autoregressive.files import AutoregressiveFile, read_network
from neural_fx.networks.autoregressive.speed import playable_voices
from neural_fx.parameters import Parameter
from neural_fx.values import suggestion

WEIGHTS = Path(__file__).parent / "weights"
NAMES = ("cello", "alto-sax", "trumpet", "flute", "clarinet", "violin", "oboe", "organ")
"""The trained instruments of both networks."""


class AutoregressiveInstrument(Instrument):
    """An instrument of one of the two networks.

    Args:
        name: of the trained instrument, such as ``cello``.
        morph_to: a second one, which `morph` moves to.
        parameters: start values of those of every instrument, and of `temperature`, `morph` and `seed`.

    Attributes:
        stolen_voices: notes that ended early, because another needed their voice.

    Raises:
        NeuralFXError: there is no such instrument. Lists them.
        ParameterError: an unknown parameter or a value out of range.
    """

    KIND: ClassVar[str]
    PARAMETERS = (
        *PLAYING,
        Parameter("temperature", 0.1, 1.5, 1, smoothing=0, description="of the draws; low is purer and duller"),
        Parameter("morph", 0, 1, 0, smoothing=0, description="0 is the instrument, 1 is morph_to"),
        Parameter("seed", 0, 9999, 0, smoothing=0, description="of the draws"),
    )
    temperature: float
    morph: float
    seed: float

    def __init__(self, name: str = "cello", *, morph_to: str | None = None, **parameters: float) -> None:
        super().__init__(**parameters)
        self.names = tuple(self._known(n) for n in ((name,) if morph_to is None else (name, morph_to)))
        self.stolen_voices = 0
        self._offline = False

    def __call__(
        self,
        midi_messages: Iterable[MidiEvent],
        duration: float,
        sample_rate: float,
        num_channels: int = 2,
        buffer_size: int = 8192,
        reset: bool = True,
    ) -> Audio:
        with self._lock:
            self._offline = True  # the result must not depend on the machine
            try:
                return super().__call__(midi_messages, duration, sample_rate, num_channels, buffer_size, reset)
            finally:
                self._offline = False

    process = __call__

    def open_family(self) -> Family:
        return AutoregressiveVoices(self, VOICES if self._offline else self.playable_voices)

    @property
    def network(self) -> AutoregressiveFile:
        """The network that plays."""
        return _network(self.KIND)

    @property
    def playable_voices(self) -> int:
        """How many voices this machine plays in real time. The first call of a process measures it."""
        return _playable(self.KIND)

    @property
    def sound(self) -> str:
        return f"{self.KIND}-{self.names[0]}"

    def between(self) -> tuple[Playing, Array]:
        """Return how the instrument is played at the position of `morph`, and its condition of the network."""
        first, last = (_trained(self.KIND, name) for name in (self.names[0], self.names[-1]))
        if self.morph == 0 or first is last:
            return first
        voice = (1 - self.morph) * first[1] + self.morph * last[1]
        return first[0].between(last[0], self.morph), voice

    def _known(self, name: str) -> str:
        plain = str(name).removeprefix(f"{self.KIND}-")
        if plain not in NAMES:
            hint = suggestion(plain, NAMES)
            raise NeuralFXError(f"unknown {self.KIND} instrument {str(name)!r}{hint}; bundled: {', '.join(NAMES)}")
        return plain

    def __repr__(self) -> str:
        return self.described(f"instruments.{type(self).__name__} {' to '.join(self.names)!r}")


class WaveNet(AutoregressiveInstrument):
    """An instrument that a WaveNet plays. `AutoregressiveInstrument` has the arguments."""

    KIND = "wavenet"


class Recurrent(AutoregressiveInstrument):
    """An instrument that a recurrent network plays. `AutoregressiveInstrument` has the arguments."""

    KIND = "recurrent"


@cache
def _network(kind: str) -> AutoregressiveFile:
    return read_network(WEIGHTS / f"{kind}.safetensors")


@cache
def _playable(kind: str) -> int:
    return playable_voices(_network(kind).description, VOICES)


@cache
def _trained(kind: str, name: str) -> tuple[Playing, Array]:
    network = _network(kind)
    index = network.description.voices.index(name)
    return Playing.parsed(network.metadata["performances"][name]), network.weights["voices"][index]


def _sources(instrument: AutoregressiveInstrument) -> Mapping[str, str | Path]:
    sounds = [f"{instrument.KIND}-{name}" for name in instrument.names]
    return dict(zip(("instrument", "morph_to"), sounds, strict=False))


def _card(kind: str, sound: str) -> Mapping[str, Any]:
    recorded = sound.endswith(("cello", "alto-sax"))
    about = _network(kind).metadata
    return {
        "name": sound,
        "data": "recordings of Karoryfer" if recorded else "notes of MuseScore General",
        "licence": "CC0" if recorded else "MIT",
        "weights": about["weights"],
        "bits_per_sample": about["bits"],
    }


def _family(kind: type[AutoregressiveInstrument]) -> InstrumentFamily:
    return InstrumentFamily(
        name=kind.KIND,
        kind=kind,
        sounds=lambda: tuple(f"{kind.KIND}-{name}" for name in NAMES),
        open=kind,
        options=("morph_to",),
        sources=_sources,
        card=lambda sound: _card(kind.KIND, sound),
    )


WAVENET = _family(WaveNet)
RECURRENT = _family(Recurrent)
