"""Instruments whose networks draw one sample after another: `WaveNet` and `Recurrent`.

`instrument` has the two families, `voices` plays them, `playing` says how a note moves its level. The weights of eight
instruments are in ``weights``. Playing needs numpy and the compiled kernels, but not torch.
"""

from instruments.autoregressive.instrument import RECURRENT, WAVENET, Recurrent, WaveNet

__all__ = ["RECURRENT", "WAVENET", "Recurrent", "WaveNet"]
