"""Reference circuits: three pedals as SPICE netlists with knobs, simulated with ngspice.

A netlist is a nominal unit of one published schematic revision. Part tolerances alone change the output by -19 to
-31 dB. The netlists name their sources and list disputed values.
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
