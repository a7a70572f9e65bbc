"""Play the presets of a network's file from MIDI, and move between them."""

from __future__ import annotations

from pathlib import Path

import numpy as np

from instruments.base import PLAYING, Family, Instrument
from instruments.latent.compiled_voices import CompiledLatentVoices
from instruments.latent.files import LatentFile, read_network
from instruments.latent.subbands import HOP, RATE
from instruments.latent.timbres import timbre_map
from instruments.latent.voices import LatentVoices
from neural_fx import blocks
from neural_fx.arrays import Doubles
from neural_fx.engines import cpu
from neural_fx.errors import NeuralFXError
from neural_fx.parameters import Parameter, Ramp
from neural_fx.values import suggestion

AXES = 16
_MOVES = ("morph", "x", "y", *(f"z{i}" for i in range(1, AXES + 1)), "loudness_db")
_RAMP_TICKS = max(1, round(blocks.SMOOTHING_SECONDS * RATE / HOP))

PARAMETERS = (
    *PLAYING,
    Parameter("morph", 0, 1, 0, description="moves to the second preset"),
    Parameter("x", -3, 3, 0, description="moves in the direction in which presets differ most"),
    Parameter("y", -3, 3, 0, description="moves in the direction in which they differ second most"),
    *(Parameter(f"z{i}", -3, 3, 0, description=f"moves number {i} of the timbre") for i in range(1, AXES + 1)),
)


class Latent(Instrument):
    """A preset of a latent instrument, with up to eight voices.

    Args:
        preset: a name, such as "marimba".
        file: path of the network and its presets, as `demos/instruments/make_presets.py` writes it.
        morph_to: a second preset, which `morph` moves to.
        parameters: start values by name.

    Raises:
        NeuralFXError: there is no preset of that name.
        ModelError: the file cannot be read, or is of another kind.
        ParameterError: an unknown parameter or a value out of range.
    """

    PARAMETERS = PARAMETERS
    morph: float
    x: float
    y: float

    def __init__(
        self, preset: str, file: str | Path | LatentFile, *, morph_to: str | None = None, **parameters: float
    ) -> None:
        super().__init__(**parameters)
        self.preset = preset
        self.morph_to = morph_to
        self.file = file if isinstance(file, LatentFile) else read_network(file)
        self.map = timbre_map(self.file.presets, self.file.network.sizes.timbre)
        self.timbres = [_preset(self.file, name) for name in (preset, morph_to or preset)]

    def open_family(self) -> Family:
        voices = CompiledLatentVoices if cpu.available() else LatentVoices
        return voices(self.file.network, _Control(self))

    @property
    def sound(self) -> str:
        return self.preset

    def positions(self) -> dict[str, tuple[float, float]]:
        """Return the `x` and `y` that come nearest to each preset, by name."""
        return {name: self.map.position(timbre, self.timbres[0]) for name, timbre in self.file.presets.items()}

    def __repr__(self) -> str:
        names = self.preset if self.morph_to is None else f"{self.preset} to {self.morph_to}"
        return self.described(f"instruments.latent.Latent {names!r}")


class _Control:
    """The parameters of an instrument, smoothed tick by tick. It implements `Control`."""

    def __init__(self, instrument: Latent) -> None:
        self._instrument = instrument
        self._ramps = {name: Ramp(getattr(instrument, name), _RAMP_TICKS) for name in _MOVES}
        self._values = {name: float(getattr(instrument, name)) for name in _MOVES}

    def tick(self) -> None:
        for name, ramp in self._ramps.items():
            ramp.aim(getattr(self._instrument, name))
            self._values[name] = float(np.atleast_1d(ramp.next(1))[0])

    def timbre(self) -> Doubles:
        first, last = self._instrument.timbres
        values = self._values
        between = first + values["morph"] * (last - first)
        axes = np.array([values[f"z{i}"] for i in range(1, AXES + 1)])
        # A network may have fewer numbers than there are parameters. The others do nothing.
        axes = np.resize(axes, len(between)) if len(between) <= AXES else np.pad(axes, (0, len(between) - AXES))
        return self._instrument.map.moved(between, values["x"], values["y"], axes)

    def gain_db(self) -> float:
        return self._values["loudness_db"]


def _preset(file: LatentFile, name: str) -> Doubles:
    """Return the timbre of a preset."""
    if name not in file.presets:
        hint = suggestion(name, list(file.presets))
        raise NeuralFXError(f"unknown preset {name!r}{hint}; the file has: {', '.join(file.presets) or 'none'}")
    return file.presets[name]
