"""Play the voices of a timbre in the compiled kernels, with one call per block."""

from __future__ import annotations

from typing import TYPE_CHECKING

from instruments.channels import BREATH, BRIGHTNESS, EXPRESSION, MODULATION, VOLUME
from instruments.contract import VOICES, Touch
from instruments.ddsp_voices import PLAYING
from neural_fx.arrays import Audio
from neural_fx.timbre.analysis import RATE
from neural_fx.timbre.compiled import NOTE_KNOBS, CompiledNotes

if TYPE_CHECKING:
    from instruments.ddsp import DDSP


class CompiledVoices:
    """The same voices as `instruments.ddsp_voices.DDSPVoices`, several times as fast.

    Args:
        instrument: whose timbres and parameters apply.
    """

    sample_rate = float(RATE)

    def __init__(self, instrument: DDSP) -> None:
        self._instrument = instrument
        self._notes = CompiledNotes(instrument.timbres, VOICES, PLAYING, self._knobs())
        self.sounding = self._notes.sounding
        self.level = self._notes.level

    def start(self, voice: int, touch: Touch) -> None:
        self._notes.start(voice, _played(touch), touch.held)

    def change(self, voice: int, touch: Touch) -> None:
        self._notes.change(voice, _played(touch), touch.held)

    def render(self, count: int) -> Audio:
        return self._notes.render(count, self._knobs())

    def _knobs(self) -> dict[str, float]:
        return {name: getattr(self._instrument, name) for name in NOTE_KNOBS}


def _played(touch: Touch) -> tuple[float, ...]:
    """Return what the compiled voices take of a touch, in their order."""
    control = touch.controls.get
    return (
        touch.pitch,
        touch.velocity,
        touch.pressure,
        control(MODULATION, 0.0),
        control(BREATH, touch.velocity),
        control(VOLUME, 1.0),
        control(EXPRESSION, 1.0),
        control(BRIGHTNESS, 0.5),
    )
