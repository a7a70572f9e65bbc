"""Run WaveNets on a CUDA GPU with one kernel per layer, instead of some ten.

A layer of 16 channels moves more memory than it computes. `kernels` therefore has one Triton kernel that reads the
residual signal once, computes a whole layer in registers, and writes it once.

- `selection` says which stacks of layers the kernels can run, and whether they are wanted at all;
- `stack` packs the weights of a stack, starts the kernels, and falls back to torch if they cannot be compiled;
- `kernels` are the only module that imports Triton, which comes with torch for CUDA on Linux.

The environment variable ``NEURAL_FX_FUSED=0`` switches them off.
"""

from __future__ import annotations

from neural_fx.engines.fused.selection import qualifies, wanted
from neural_fx.engines.fused.stack import FusedStack, fuse

__all__ = ["FusedStack", "fuse", "qualifies", "wanted"]
