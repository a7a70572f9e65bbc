"""Keep the settings of a MIDI channel: bend, pressure, pedals, controllers and registered parameters (RPN)."""

from __future__ import annotations

from dataclasses import dataclass, field

MODULATION = 1
BREATH = 2
VOLUME = 7
PAN = 10
EXPRESSION = 11
SUSTAIN = 64
SOSTENUTO = 66
BRIGHTNESS = 74
ALL_SOUND_OFF = 120
RESET_CONTROLLERS = 121
ALL_NOTES_OFF = 123
"""This controller and the four mode controllers above it end all notes."""

_DATA, _DATA_FINE = 6, 38
_INCREMENT, _DECREMENT = 96, 97
_NRPN = (98, 99)
_RPN_FINE, _RPN = 100, 101
_NOTHING = (127, 127)

_BEND_RANGE = (0, 0)
_FINE_TUNING = (0, 1)
_COARSE_TUNING = (0, 2)

# "Reset all controllers" does not change these (MIDI Association, RP-015): bank, volume, pan,
# the sound controllers and the depths of effects.
_KEPT = {0, VOLUME, PAN, 32, *range(70, 80), *range(91, 96)}


@dataclass
class Channel:
    """The settings of one MIDI channel.

    Attributes:
        bend: -1..1, position of the pitch wheel.
        pressure: 0..1, of channel aftertouch.
        sustain: whether the sustain pedal is down.
        sostenuto: whether the sostenuto pedal is down.
        controls: values 0..1 of the controllers that were moved, by number.
    """

    bend: float = 0.0
    pressure: float = 0.0
    sustain: bool = False
    sostenuto: bool = False
    controls: dict[int, float] = field(default_factory=dict)
    _selected: tuple[int, int] = _NOTHING
    _range_cents: int | None = None
    _range_knob: float = 0.0
    _fine: int = 8192
    _coarse: int = 64

    def control(self, number: int, value: int, knob: float) -> None:
        """Apply a control change.

        Args:
            number: 0..127, of the controller.
            value: 0..127.
            knob: the instrument's own bend range in semitones, from which increments start.
        """
        self.controls[number] = value / 127
        if number == SUSTAIN:
            self.sustain = value >= 64
        elif number == SOSTENUTO:
            self.sostenuto = value >= 64
        elif number == RESET_CONTROLLERS:
            self._reset()
        elif number == _RPN:
            self._selected = (value, self._selected[1])
        elif number == _RPN_FINE:
            self._selected = (self._selected[0], value)
        elif number in _NRPN:
            self._selected = _NOTHING
        elif number in (_DATA, _DATA_FINE, _INCREMENT, _DECREMENT):
            self._enter(number, value, knob)

    def bend_range(self, knob: float) -> float:
        """Return the bend range in semitones.

        It is the registered parameter's, until the instrument's own knob is moved.

        Args:
            knob: the instrument's own bend range in semitones.
        """
        if self._range_cents is None or self._range_knob != knob:
            return knob
        return self._range_cents / 100

    @property
    def tuning(self) -> float:
        """Tuning in semitones, from the registered parameters for coarse and fine tuning."""
        return self._coarse - 64 + (self._fine - 8192) / 8192

    def _reset(self) -> None:
        self.controls = {number: value for number, value in self.controls.items() if number in _KEPT}
        self.bend = 0.0
        self.pressure = 0.0
        self.sustain = False
        self.sostenuto = False
        self._selected = _NOTHING

    def _enter(self, number: int, value: int, knob: float) -> None:
        """Change the selected registered parameter. Its upper half (MSB) sets the lower half (LSB) to zero."""
        if self._selected == _BEND_RANGE:
            cents = round(100 * self.bend_range(knob))
            self._range_cents = _entered(cents, number, value, unit=100, most=12800)
            self._range_knob = knob
        elif self._selected == _FINE_TUNING:
            self._fine = _entered(self._fine, number, value, unit=128, most=16383)
        elif self._selected == _COARSE_TUNING and number != _DATA_FINE:
            # Increments change semitones here, because the lower half is not used (RP-018).
            self._coarse = _entered(self._coarse, number, value, unit=1, most=127)


def _entered(old: int, number: int, value: int, unit: int, most: int) -> int:
    """Return the value of a registered parameter after a data entry.

    Args:
        old: its value before, in steps of the lower half.
        number: the controller: data entry (upper or lower half), increment or decrement.
        value: of the controller. Increments ignore it.
        unit: steps of the lower half in one step of the upper half.
        most: the largest value.
    """
    if number == _DATA:
        new = value * unit
    elif number == _DATA_FINE:
        new = old // unit * unit + value
    else:
        new = old + (1 if number == _INCREMENT else -1)
    return max(0, min(new, most))
