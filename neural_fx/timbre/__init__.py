"""Timbre transfer: play the pitch and loudness of a performance with the sound of another instrument.

The method is DDSP (Engel et al. 2020). `TimbreTransfer` is the effect, and `analyze` finds pitch and loudness.
`TIMBRES` lists the bundled timbres. `neural-fx train-timbre` trains others from solo recordings.
"""

from neural_fx.timbre.analysis import Analysis, analyze
from neural_fx.timbre.effect import TimbreTransfer
from neural_fx.timbre.files import Timbre, read_timbre
from neural_fx.timbre.library import TIMBRES, find_timbre, timbre_card
from neural_fx.timbre.plots import plot_analysis

__all__ = [
    "TIMBRES", "Analysis", "Timbre", "TimbreTransfer", "analyze", "find_timbre", "plot_analysis", "read_timbre",
    "timbre_card",
]  # fmt: skip
