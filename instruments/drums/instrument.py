"""Define `Drums`, a drum kit whose hits a network makes, with perceptual knobs."""

from __future__ import annotations

import json
import os
from collections.abc import Iterable, Mapping
from functools import cache
from pathlib import Path
from typing import TYPE_CHECKING, Any

from instruments.base import PLAYING, Family, Instrument, MidiEvent
from instruments.contract import VOICES
from instruments.drums.classes import CLASSES
from instruments.drums.kit import Kit, Settings
from instruments.drums.kit_files import is_kit, read_kit
from instruments.drums.knobs import KNOBS
from instruments.drums.likeness import Likeness, find_like, read_hit
from instruments.drums.network import DrumNetwork
from instruments.drums.voices import DrumVoices
from instruments.families import InstrumentFamily
from instruments.messages import parse_messages
from neural_fx.arrays import Audio
from neural_fx.errors import NeuralFXError
from neural_fx.parameters import Parameter
from neural_fx.values import suggestion

if TYPE_CHECKING:
    from instruments.training.contract import FamilyTrainer

DATA = Path(__file__).parent / "data"
SOUNDS = {"studio-kit": "studio", "electronic-kit": "electronic"}
"""Names of the sounds, and of their kits in the network's file."""

MOST_SEED = 9999

_MEANINGS = {
    "boominess": "energy below 120 Hz",
    "brightness": "centre of the spectrum",
    "hardness": "strength of the attack",
    "warmth": "energy from 120 to 600 Hz",
    "depth": "how low the lowest strong frequency is",
    "decay": "how long it rings",
    "noisiness": "noise against tones",
}


def _parameters() -> tuple[Parameter, ...]:
    # Drums have no pitch to bend, tune or slide, and legato would swallow strokes.
    playing = [p for p in PLAYING if p.name == "loudness_db"]
    table = [
        *playing,
        Parameter("voices", 2, VOICES, VOICES, smoothing=0, description="most drums that ring at once"),
        Parameter("seed", 0, MOST_SEED, 0, smoothing=0, description="0 is the kit itself, others are random kits"),
    ]
    for knob in KNOBS:
        table.append(Parameter(knob, 0, 1, 0.5, smoothing=0, description=f"{_MEANINGS[knob]}, of all drums"))
    for drum in CLASSES:
        words = drum.replace("_", " ")
        table.append(Parameter(f"{drum}_level_db", -40, 12, 0, "dB", 0, f"level of the {words}"))
        for knob in KNOBS:
            text = f"{_MEANINGS[knob]}, of the {words}"
            table.append(Parameter(f"{drum}_{knob}", 0, 1, 0.5, smoothing=0, description=text))
    return tuple(table)


class Drums(Instrument):
    """A drum kit played from MIDI by General MIDI's drum map, on any channel.

    A knob at 0.5 leaves a drum as it is. 0 and 1 are the ends of what drums of its class have. The knob of a class,
    such as ``snare_brightness``, adds to the knob of all drums.

    A hit is rendered when a knob moves, in a thread of its own. Until it is ready, the old hit plays. A call of the
    instrument waits for it instead, so its result is always the same.

    Args:
        kit: ``studio-kit``, ``electronic-kit``, or the path of a kit that `neural-fx train-instrument` wrote.
        parameters: start values of `loudness_db`, `voices`, `seed`, the seven knobs, and for each class
            ``CLASS_level_db`` and ``CLASS_KNOB``.

    Raises:
        NeuralFXError: there is no such kit. Lists them.
        ModelError: the file of a kit cannot be read.
        ParameterError: an unknown parameter or a value out of range.
    """

    PARAMETERS = _parameters()
    seed: float
    boominess: float
    brightness: float
    hardness: float
    warmth: float
    depth: float
    decay: float
    noisiness: float

    # What every instrument has, but drums do not offer.
    octave = 0.0
    tuning = 0.0
    bend_range = 0.0
    glide = 0.0

    if TYPE_CHECKING:  # the knobs of the classes, which are made from a table

        def __getattr__(self, name: str) -> Any: ...
        def __setattr__(self, name: str, value: Any) -> None: ...

    def __init__(self, kit: str | Path = "studio-kit", **parameters: float) -> None:
        super().__init__(**parameters)
        self._file: Path | None = None
        if str(kit) not in SOUNDS:
            self._file = _existing(kit)
            read_kit(self._file)
        self._name = str(kit) if self._file is None else self._file.stem
        self._kit: Kit | None = None
        self._found: dict[str, Likeness] = {}
        self._ready = False  # whether a call has rendered the hits that it needs

    @classmethod
    def like(cls, *paths: str | Path, drum: str | None = None, kit: str = "studio-kit", **parameters: float) -> Drums:
        """Return a kit in which some drums sound like recorded hits, as far as the network can.

        Args:
            paths: audio files with one hit each. Two files of one class: the last one counts.
            drum: class of the hits, such as ``snare``; None to guess it for each of them.
            kit: for the other drums.
            parameters: as for the class.

        Raises:
            AudioError: a file cannot be read.
            NeuralFXError: a file is silent or too short, or there is no such class or kit.
        """
        drums = cls(kit, **parameters)
        for path in paths:
            found = find_like(_network(), read_hit(path), drum)
            drums._found[found.drum] = found
        return drums

    @property
    def found(self) -> dict[str, Likeness]:
        """Drums that `like` found, by class."""
        return dict(self._found)

    def __call__(
        self,
        midi_messages: Iterable[MidiEvent],
        duration: float,
        sample_rate: float,
        num_channels: int = 2,
        buffer_size: int = 8192,
        reset: bool = True,
    ) -> Audio:
        messages = list(midi_messages)
        notes = [message for _, message in parse_messages(messages) if message.type == "note_on"]
        with self._lock:
            # All notes are known, so only the hits that they need are rendered.
            self.kit.finish(self._settings(), [(note.note, note.velocity / 127) for note in notes if note.velocity])
            self._ready = True
            try:
                return super().__call__(messages, duration, sample_rate, num_channels, buffer_size, reset)
            finally:
                self._ready = False

    process = __call__

    def set_parameter(self, name: str, value: object) -> None:
        super().set_parameter(name, value)
        kit = self.__dict__.get("_kit")
        if kit is not None:
            kit.want(self._settings())

    def open_family(self) -> Family:
        if not self._ready:
            self.finish()
        return DrumVoices(self)

    def finish(self) -> None:
        """Render all hits that moved knobs have changed, and return when it is done."""
        self.kit.finish(self._settings())

    @property
    def sound(self) -> str:
        return self._name

    @property
    def kit(self) -> Kit:
        """The rendered hits."""
        if self._kit is None:
            network, name = (_network(), SOUNDS[self._name]) if self._file is None else _own(self._file)
            self._kit = Kit(network, name, self._settings())
        return self._kit

    def class_level_db(self, drum: str) -> float:
        """Return the value of the level knob of a class."""
        return self._values[f"{drum}_level_db"]

    def _settings(self) -> Settings:
        values = self._values
        knobs = tuple(
            tuple(min(1.0, max(0.0, values[knob] + values[f"{drum}_{knob}"] - 0.5)) for knob in KNOBS)
            for drum in CLASSES
        )
        found = tuple(
            (drum, (*map(float, like.z), *map(float, like.knobs))) for drum, like in sorted(self._found.items())
        )
        return Settings(round(values["seed"]), knobs, found)

    def __getstate__(self) -> dict[str, Any]:
        """Return the settings without the rendered hits."""
        return {**super().__getstate__(), "_kit": None}

    def __repr__(self) -> str:
        return self.described(f"instruments.Drums {self._name!r}")


@cache
def _network() -> DrumNetwork:
    return DrumNetwork.read(DATA / "drums.safetensors")


def _own(path: Path) -> tuple[DrumNetwork, str]:
    """Return the network of a kit's file, and the kit's name in it."""
    file = read_kit(path)
    return file.network, file.kit


def _existing(kit: str | Path) -> Path:
    """Return the path of a kit's file."""
    path = Path(kit)
    if not path.suffix and not os.path.lexists(path):
        hint = suggestion(str(kit), SOUNDS)
        raise NeuralFXError(
            f"unknown drum kit {str(kit)!r}{hint}; bundled: {', '.join(SOUNDS)}; or the path of a kit's file"
        )
    return path.absolute()  # the working directory may change


def drum_card(sound: str) -> Mapping[str, Any]:
    """Return the data card of the bundled network: its sounds, their licences, and its quality."""
    card: dict[str, Any] = json.loads((DATA / "drums.card.json").read_text(encoding="utf-8"))
    return {**card, "name": sound}


def _sources(instrument: Drums) -> dict[str, str | Path]:
    return {"instrument": instrument.sound if instrument._file is None else instrument._file}


def _trainer() -> FamilyTrainer:
    from instruments.drums.training.one_shots import TRAINER

    return TRAINER


FAMILY = InstrumentFamily(
    name="drums",
    kind=Drums,
    sounds=lambda: tuple(SOUNDS),
    open=Drums,
    matches=is_kit,
    sources=_sources,
    card=drum_card,
    trainer=_trainer,
)
