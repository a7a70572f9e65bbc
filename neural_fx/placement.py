"""Choose where networks run: the policy behind ``device="auto"``.

If there is a CUDA device, the cost of a network on one core is measured for a few milliseconds. Without one there is no
choice.

- **Live** streams run on the CPU, which has the lowest latency, until they need more than half of the cores. From then
  on, new streams run on the GPU as one batch.
- **Offline** audio runs on the GPU if the cores would need longer than torch and CUDA need to start (`START_SECONDS`).
  So a single riff stays on the CPU, and a folder of stems moves to the GPU.

Only captures (`NeuralProcessor`) move. Timbres and native plugins always run on the CPU.
"""

from __future__ import annotations

import os
import threading
import time
from collections.abc import Iterable, Iterator
from pathlib import Path

import numpy as np

from neural_fx import blocks
from neural_fx.errors import NeuralFXError
from neural_fx.neural import NeuralProcessor
from neural_fx.optional import is_installed, need

LIVE_SHARE = 0.5
"""Fraction of the cores that live streams may need before new ones run on the GPU."""
START_SECONDS = 8.0
"""Time to import torch, open a CUDA device and run the first batch."""
DEVICES = ("auto", "cpu", "cpu-fast", "cuda", "mps", "torch", "batched")


class DeviceError(NeuralFXError):
    """A device that is unknown or does not exist here."""


def check_device(device: str) -> str:
    """Check the name of a device and return it.

    Args:
        device: ``auto``, ``cpu``, ``cpu-fast``, ``cuda``, ``cuda:1`` or ``mps``. For comparison there are ``torch``
            (the reference, on the CPU) and ``batched`` (the GPU's engine, on the CPU).

    Raises:
        DeviceError: the device is unknown or does not exist here.
        MissingPackageError: the device needs torch, which is not installed.
    """
    if _kind(device) not in DEVICES:
        raise DeviceError(f"unknown device {device!r}; known: {', '.join(DEVICES)}")
    if is_gpu(device):
        torch = need("torch", f"device {device}")
        try:
            torch.empty(0, device=device)
        except (RuntimeError, AssertionError) as error:
            reason = str(error).splitlines()[0]
            raise DeviceError(f"device {device!r} cannot be used here: {reason}; use cpu or auto") from None
    return device


def is_gpu(device: str) -> bool:
    """Return whether a device, named as for `check_device`, is a GPU."""
    return _kind(device) in ("cuda", "mps")


def _kind(device: str) -> str:
    return device.partition(":")[0]


def has_cuda() -> bool:
    """Return whether there is a CUDA device. Torch is imported only if the system has a driver for one."""
    if not any(map(os.path.exists, ("/dev/nvidia0", "/dev/dxg", "C:/Windows/System32/nvcuda.dll"))):
        return False
    return is_installed("torch") and bool(need("torch", "CUDA").cuda.is_available())


def captures(part: object) -> Iterator[NeuralProcessor]:
    """Yield the captures of a board, with those of nested chains."""
    if isinstance(part, NeuralProcessor):
        yield part
    elif isinstance(part, Iterable) and not isinstance(part, (str, bytes, np.ndarray, Path)):
        for member in part:
            yield from captures(member)


def place(board: object, device: str) -> None:
    """Set the device of all captures of a board, from their next stream on.

    Args:
        board: a processor, or a container of processors.
        device: as for `check_device`.

    Raises:
        DeviceError: the device is unknown or does not exist here.
    """
    check_device(device)
    for capture in captures(board):
        capture.device = device


def in_batches(board: object) -> bool:
    """Return whether a capture of a board runs on a device that processes long blocks as a batch of pieces."""
    return any(is_gpu(capture.device) or capture.device == "batched" for capture in captures(board))


def cost(board: object, channels: int = 1) -> float:
    """Measure how many seconds one core needs for a second of audio through a board's captures.

    Args:
        board: a processor, or a container of processors.
        channels: of the audio.
    """
    return channels * sum(_cost(capture) for capture in captures(board))


def _cost(capture: NeuralProcessor, samples: int = blocks.COST_BLOCK) -> float:
    block = np.zeros((1, samples), np.float32)
    probe = NeuralProcessor(capture.capture, device="cpu", oversample=capture.oversample)
    taken = []
    for _ in range(3):
        began = time.perf_counter()
        probe.process(block, capture.sample_rate, samples, reset=False)
        taken.append(time.perf_counter() - began)
    return min(taken) * capture.sample_rate / samples


def offline_device(board: object, seconds: float, jobs: int = 1) -> str:
    """Return the device on which ``auto`` renders: ``cpu`` or ``cuda``.

    Args:
        board: that renders.
        seconds: of audio, all channels added up.
        jobs: cores that would render it otherwise.
    """
    if not has_cuda():
        return "cpu"
    cores = min(jobs, os.cpu_count() or 1)
    return "cuda" if cost(board) * seconds / cores > START_SECONDS else "cpu"


class LivePlacement:
    """Chooses where the live streams of a worker run.

    Args:
        device: ``auto``, or the device on which all streams run.
        cores: of this machine. If None, they are counted.

    Raises:
        DeviceError: the device is unknown or does not exist here.
    """

    def __init__(self, device: str = "auto", cores: int | None = None) -> None:
        self.device = check_device(device)
        self.cores = cores or os.cpu_count() or 1
        self.load = 0.0
        self._lock = threading.Lock()

    def put(self, board: object, channels: int) -> float:
        """Choose the device of a board that is about to play as one more stream.

        Args:
            board: of the stream.
            channels: of the stream.

        Returns:
            What the stream adds to `load`, in cores. Pass it to `end` when the stream ends.
        """
        if self.device != "auto":
            place(board, self.device)
            return 0.0
        if not has_cuda():
            return 0.0
        wanted = cost(board, channels)
        with self._lock:
            stays = self.load + wanted <= LIVE_SHARE * self.cores
            self.load += wanted if stays else 0.0
        if not stays:
            place(board, "cuda")
        return wanted if stays else 0.0

    def end(self, taken: float) -> None:
        """Remove the load of a stream that has ended, as `put` returned it."""
        with self._lock:
            self.load = max(0.0, self.load - taken)
