"""Single notes as parameters: what a network learns, and what a voice plays.

>>> import numpy as np
>>> from instruments.latent import NoteAnalyzer, synthesize
>>> note = np.zeros(48000)
>>> note[4800:] = 0.5 * np.sin(2 * np.pi * 440 * np.arange(43200) / 48000)
>>> parameters = NoteAnalyzer().analyze(note, pitch=69)
>>> round(float(parameters.f0.mean()), 1)
440.0
>>> synthesize(parameters).shape
(48000,)
"""

from instruments.latent.analysis import NoteAnalyzer
from instruments.latent.distance import log_spectral_distance
from instruments.latent.parameters import NoteParameters
from instruments.latent.synthesis import synthesize

__all__ = ["NoteAnalyzer", "NoteParameters", "log_spectral_distance", "synthesize"]
