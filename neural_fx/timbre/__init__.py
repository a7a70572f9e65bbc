"""Timbre transfer: hear pitch and loudness, play them with the sound of another instrument (DDSP, Engel et al. 2020).

`TimbreTransfer` is the effect, `analyze` what it hears; the bundled timbres are `TIMBRES`. `neural-fx train-timbre`
learns others from solo recordings.
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
