"""Run many streams of a network as one batch. On a GPU, 256 of them cost little more than one.

- `pool`: a `Pool` holds the state of all streams of one network on one device, as tensors with the batch dimension
  first. Each stream has a place in the pool and knob positions of its own. It can join and leave while the others play.
- `graph`: on CUDA, a step of all places is recorded once as a graph and then replayed. This saves the time of
  launching some 200 kernels.
- `scheduling`: each device has one `Scheduler`. It collects the blocks of all streams, and runs those of one network
  and one length as a batch. It aims to finish within half of a block's duration.
- `engine`: `BatchedEngine` is what `neural_fx.engines.open_engine` returns for devices other than the CPU. It keeps
  the same contract as the others. So a chain does not know that its blocks are computed together with those of other
  tracks.
"""

from __future__ import annotations

from neural_fx.blocks import FIRST_PLACES, MOST_GRAPHS, OFFLINE
from neural_fx.engines.batched.engine import BatchedEngine, BatchedStream
from neural_fx.engines.batched.pool import Pool
from neural_fx.engines.batched.scheduling import Scheduler, scheduler

__all__ = [
    "FIRST_PLACES",
    "MOST_GRAPHS",
    "OFFLINE",
    "BatchedEngine",
    "BatchedStream",
    "Pool",
    "Scheduler",
    "scheduler",
]
