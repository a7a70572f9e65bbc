"""Define `Latent`, instruments whose timbres lie in one space: presets to play, to morph, and to move on a map."""

from __future__ import annotations

import math
import os
from collections.abc import Mapping
from pathlib import Path
from typing import TYPE_CHECKING, Any, Self

import numpy as np

from instruments.base import PLAYING, Family, Instrument
from instruments.families import InstrumentFamily
from instruments.latent.compiled_voices import CompiledLatentVoices
from instruments.latent.control import SmoothedControl, Targets, timbre_of
from instruments.latent.files import LatentFile, read_network
from instruments.latent.fitting import STEPS, fitted
from instruments.latent.library import bundled, latent_card, preset_names, unknown_preset
from instruments.latent.presets import Preset, is_preset, network_id, read_preset, save_preset
from instruments.latent.recording import Recording, recorded
from instruments.latent.timbres import TimbreMap, random_timbre, timbre_map
from instruments.latent.voices import LatentVoices
from instruments.training.contract import FamilyTrainer
from neural_fx.arrays import Audio, Doubles
from neural_fx.engines import cpu
from neural_fx.errors import NeuralFXError
from neural_fx.parameters import Parameter

NAME = "latent"
MOST_SEED = 9999
DEFAULT_VELOCITY = 90
_AXES = 16
_PRESETS = 128
_REACH = 3
"""The map reaches at least this many standard deviations."""


def parameter_table(
    numbers: int = _AXES, presets: int = _PRESETS, reach: int = _REACH, home: tuple[float, float] = (0.0, 0.0)
) -> tuple[Parameter, ...]:
    """Return the parameters of an instrument.

    Args:
        numbers: of a timbre.
        presets: that `morph_preset` can choose.
        reach: farthest positions of the map.
        home: position of the instrument's own preset.
    """
    return (
        *PLAYING,
        Parameter("morph", 0, 1, 0, description="moves to the second preset"),
        Parameter("morph_preset", 0, presets, 0, description="number of the second preset; 0 is the one of `morph_to`"),
        Parameter("x", -reach, reach, home[0], description="position on the map of presets, along its first direction"),
        Parameter("y", -reach, reach, home[1], description="the same along its second direction"),
        Parameter("seed", 0, MOST_SEED, 0, description="0 is the preset itself, others are random timbres"),
        *(Parameter(f"z{i + 1}", -3, 3, 0, description=f"moves number {i + 1} of the timbre") for i in range(numbers)),
    )


class Latent(Instrument):
    """A preset of the latent instrument, with up to eight voices.

    All parameters move while notes sound. The map has all presets: `x` and `y` are a position on it, and begin at that
    of the instrument's own preset. `map` returns the positions. Controllers 7, 11 and 2, aftertouch, pedals and bends
    are supported.

    Args:
        preset: a name, such as "marimba", or a file that `save_preset` wrote, or a `Preset`.
        file: network and presets to use in place of the bundled ones: a path, or what `read_network` returned.
        morph_to: a second preset, which `morph` moves to.
        parameters: start values by name.

    Raises:
        NeuralFXError: there is no preset of that name.
        ModelError: a file cannot be read, is of another kind, or belongs to another network.
        ParameterError: an unknown parameter or a value out of range.
    """

    PARAMETERS = parameter_table()
    morph: float
    morph_preset: float
    x: float
    y: float
    seed: float

    if TYPE_CHECKING:  # the numbers of the timbre, whose count depends on the network

        def __getattr__(self, name: str) -> Any: ...
        def __setattr__(self, name: str, value: Any) -> None: ...

    def __init__(
        self,
        preset: str | Path | Preset = "acoustic-grand-piano",
        file: str | Path | LatentFile | None = None,
        *,
        morph_to: str | Path | Preset | None = None,
        **parameters: float,
    ) -> None:
        self._file = file if isinstance(file, LatentFile) or file is None else read_network(file)
        self._preset, self._source = _chosen(preset, self.file)
        self._map = timbre_map(self.file.presets, self.file.network.sizes.timbre)
        reach = _reach(self._map)
        # A preset from a note may lie beyond the map. Then it is at the border.
        x, y = (min(reach, max(-reach, place)) for place in self._map.position(self._preset.timbre))
        self._home = (x, y)
        numbers = self.file.network.sizes.timbre
        self.PARAMETERS = parameter_table(numbers, max(1, len(self.file.presets)), reach, self._home)
        self._random: tuple[int, Doubles] = (0, self._preset.timbre)
        self._second, self._second_source = self._preset, self._source
        super().__init__(**parameters)
        if morph_to is not None:
            self.morph_to = morph_to

    @classmethod
    def from_audio(
        cls,
        source: str | Path | Audio,
        sample_rate: float | None = None,
        *,
        pitch: float | None = None,
        velocity: int = DEFAULT_VELOCITY,
        name: str | None = None,
        steps: int = STEPS,
        file: str | Path | LatentFile | None = None,
        **parameters: float,
    ) -> Self:
        """Return an instrument that plays the timbre of one recorded note.

        The note is encoded, and the timbre is then moved until the network comes closest to the note.

        Args:
            source: audio file, or audio as (samples,), (channels, samples) or (samples, channels).
            sample_rate: of audio that is not a file, in Hz.
            pitch: MIDI note, fractions allowed. None finds it.
            velocity: 1 to 127, how hard the note was played.
            name: of the preset. None takes the name of the file.
            steps: of the descent. 0 keeps what the encoder makes.
            file: as for `Latent`.
            parameters: start values by name.

        Raises:
            AudioError: the file cannot be read, is silent, too short, too long, or not one note with a pitch.
        """
        found = file if isinstance(file, LatentFile) else bundled() if file is None else read_network(file)
        note = recorded(source, sample_rate, pitch)
        timbre = fitted(found, note, velocity, steps)
        preset = Preset(name or note.name, timbre, network_id(found.network), _origin(note, velocity, steps))
        return cls(preset, None if file is None else found, morph_to=None, **parameters)

    @classmethod
    def random(cls, seed: int, file: str | Path | LatentFile | None = None, **parameters: float) -> Self:
        """Return an instrument with a random timbre. The same seed gives the same timbre.

        Args:
            seed: 1 to 9999.
            file: as for `Latent`.
            parameters: start values by name.
        """
        found = read_network(file) if isinstance(file, (str, Path)) else file
        first = next(iter((found or bundled()).presets), None)
        if first is None:
            raise NeuralFXError("the network has no presets")
        return cls(first, found, morph_to=None, seed=seed, **parameters)

    @staticmethod
    def map(file: str | Path | LatentFile | None = None) -> dict[str, tuple[float, float]]:
        """Return the positions of all presets on the map, by name: what `x` and `y` reach them with.

        Args:
            file: as for `Latent`.
        """
        found = bundled() if file is None else file if isinstance(file, LatentFile) else read_network(file)
        positions = timbre_map(found.presets, found.network.sizes.timbre).positions
        return {name: (float(x), float(y)) for name, (x, y) in zip(found.presets, positions)}

    # -- what it plays -----------------------------------------------------------------------------------------------

    @property
    def file(self) -> LatentFile:
        """The network and its presets."""
        return self._file or bundled()

    @property
    def preset(self) -> str:
        """Name of the preset."""
        return self._preset.name

    @property
    def origin(self) -> Mapping[str, Any]:
        """How the preset was made, if it was made from a note."""
        return self._preset.metadata

    @property
    def morph_to(self) -> str | Path | None:
        """The second preset: its name, or the path of its file; None if there is none. It may change while playing."""
        number = round(self.morph_preset)
        if number > 0:
            return list(self.file.presets)[number - 1]
        if self._second is self._preset:
            return None
        return self._second.name if self._second_source is None else self._second_source

    @morph_to.setter
    def morph_to(self, preset: str | Path | Preset | None) -> None:
        second, source = (self._preset, self._source) if preset is None else _chosen(preset, self.file)
        self._second, self._second_source = second, source
        known = preset is not None and isinstance(source, str)
        self.morph_preset = list(self.file.presets).index(str(source)) + 1 if known else 0

    @property
    def timbre(self) -> Doubles:
        """The timbre that all parameters give, (timbre,)."""
        return timbre_of(self.targets(), self._map, self._home)

    @property
    def sound(self) -> str:
        seed = round(self.seed)
        return f"random-{seed}" if seed else self.preset

    @property
    def sources(self) -> dict[str, str | Path]:
        """What a board file says of the instrument. A `Path` is a file.

        Raises:
            NeuralFXError: a preset was not saved.
        """
        found = {"instrument": _saved(self._preset, self._source)}
        if self.morph_to is not None:
            number = round(self.morph_preset)
            found["morph_to"] = self.morph_to if number else _saved(self._second, self._second_source)
        return found

    def save_preset(self, path: str | Path, name: str | None = None) -> None:
        """Write the timbre as a file that `Latent`, `play`, boards and workers open. All parameters are part of it.

        Args:
            path: the file, such as ``my.preset``, replaced if it exists.
            name: of the preset. None keeps the name of the sound.
        """
        timbre = self.timbre
        saved = Preset(name or self.sound, timbre, network_id(self.file.network), self._preset.metadata)
        save_preset(path, saved)
        if np.allclose(timbre, self._preset.timbre, atol=1e-9):
            self._source = Path(path).absolute()

    def open_family(self) -> Family:
        voices = CompiledLatentVoices if cpu.available() else LatentVoices
        return voices(self.file.network, SmoothedControl(self, self._map, self._home))

    def targets(self) -> Targets:
        """Return what the parameters say at the moment."""
        values = self._values
        seed = round(values["seed"])
        if seed != self._random[0]:
            numbers = self.file.network.sizes.timbre
            timbre = random_timbre(self.file.presets, numbers, seed) if seed else self._preset.timbre
            self._random = (seed, timbre)
        first = self._random[1]
        axes = [values[f"z{i + 1}"] for i in range(len(first))]
        knobs = [values["loudness_db"], values["morph"], values["x"], values["y"], *axes]
        return Targets(knobs, first, self._last(round(values["morph_preset"]), first))

    def _last(self, number: int, first: Doubles) -> Doubles:
        """Return the timbre that `morph` moves to."""
        if number > 0:
            return list(self.file.presets.values())[number - 1]
        return first if self._second is self._preset else self._second.timbre

    def __repr__(self) -> str:
        names = self.sound if self.morph_to is None else f"{self.sound} to {self.morph_to}"
        return self.described(f"instruments.Latent {names!r}")


def _reach(map: TimbreMap) -> int:
    return math.ceil(float(np.abs(map.positions).max(initial=_REACH)))


def _chosen(preset: str | Path | Preset, file: LatentFile) -> tuple[Preset, str | Path | None]:
    """Return a preset, and its name or the absolute path of its file. An unsaved one has neither."""
    if isinstance(preset, Preset):
        return preset, None
    name = str(preset).removeprefix(f"{NAME}:")
    if name in file.presets:
        return Preset(name, file.presets[name], ""), name
    path = Path(preset)
    if path.suffix or os.path.lexists(path):
        # The working directory may change.
        return read_preset(path, file.network), path.absolute()
    raise unknown_preset(name, tuple(file.presets))


def _saved(preset: Preset, source: str | Path | None) -> str | Path:
    if source is None:
        raise NeuralFXError(f"the preset {preset.name!r} has no file yet; call save_preset first")
    return source


def _origin(note: Recording, velocity: int, steps: int) -> Mapping[str, Any]:
    return {
        "recording": note.name,
        "pitch": round(note.pitch, 3),
        "velocity": velocity,
        "seconds": round(note.seconds, 3),
        "released": note.release is not None,
        "steps": steps,
    }


def _sources(instrument: Latent) -> Mapping[str, str | Path]:
    return instrument.sources


def _trainer() -> FamilyTrainer:
    from instruments.latent.training.one_shots import TRAINER

    return TRAINER


FAMILY = InstrumentFamily(
    name=NAME,
    kind=Latent,
    sounds=preset_names,
    open=Latent,
    matches=is_preset,
    options=("morph_to",),
    sources=_sources,
    card=latent_card,
    trainer=_trainer,
)
