"""The reference circuits: three pedals as SPICE netlists, their knobs, and ngspice to run them.

A netlist claims to be a nominal unit of one published schematic revision, no more: part tolerances alone move the
sound by -19 to -31 dB. Sources and disputed values stand in the netlists themselves.
"""

from neural_fx.training.circuits.netlists import CIRCUITS, Circuit, Knob
from neural_fx.training.circuits.spice import SpiceError, frequency_response, operating_point, simulate

__all__ = [
    "CIRCUITS",
    "Circuit",
    "Knob",
    "SpiceError",
    "frequency_response",
    "operating_point",
    "simulate",
]
