"""Where networks run: the policy behind ``device="auto"``.

Measured on the machine at hand, not guessed: what a network costs on one core is timed, a few milliseconds long, when
there is a choice at all, that is, where there is a CUDA device.

- **Live**, streams stay on the CPU, where a block is done soonest and nothing is waited for, until those that play need
  more than half of the cores; from then on, new ones go to the GPU, which runs them as one batch.
- **Offline**, audio goes to the GPU if the cores would need longer than torch and CUDA need to start
  (`START_SECONDS`): a single riff stays, a folder of stems goes.

Only captures move (`NeuralProcessor`); timbres and native plugins run on the CPU.
"""

from __future__ import annotations

import os
import threading
import time
from collections.abc import Iterable, Iterator
from pathlib import Path

import numpy as np

from neural_fx.errors import NeuralFXError
from neural_fx.neural import NeuralProcessor
from neural_fx.optional import is_installed, need

LIVE_SHARE = 0.5
"""Of the cores, that live streams may need before new ones go to the GPU."""
START_SECONDS = 8.0
"""To import torch, open a CUDA device and run the first batch."""
DEVICES = ("auto", "cpu", "cpu-fast", "cuda", "mps", "torch", "batched")


class DeviceError(NeuralFXError):
    """A device that is not there."""


def check_device(device: str) -> str:
    """A device as people name it: ``auto``, ``cpu``, ``cpu-fast``, ``cuda``, ``cuda:1``, ``mps``, or, to compare with,
    ``torch`` (the reference, on the CPU) and ``batched`` (as on a GPU, on the CPU).

    Raises:
        DeviceError: unknown, or not there.
        MissingPackageError: the device takes torch, which is not installed.
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
    """Whether a device, as `check_device` knows it, is none of the CPU's."""
    return _kind(device) in ("cuda", "mps")


def _kind(device: str) -> str:
    return device.partition(":")[0]


def has_cuda() -> bool:
    """Whether there is a CUDA device; torch is asked only where the system has a driver for one."""
    if not any(map(os.path.exists, ("/dev/nvidia0", "/dev/dxg", "C:/Windows/System32/nvcuda.dll"))):
        return False
    return is_installed("torch") and bool(need("torch", "CUDA").cuda.is_available())


def captures(part: object) -> Iterator[NeuralProcessor]:
    """The captures of a board, wherever they stand in its chains."""
    if isinstance(part, NeuralProcessor):
        yield part
    elif isinstance(part, Iterable) and not isinstance(part, (str, bytes, np.ndarray, Path)):
        for member in part:
            yield from captures(member)


def place(board: object, device: str) -> None:
    """Let the captures of a board run on a device, from the next stream on.

    Raises:
        DeviceError: it is not there.
    """
    check_device(device)
    for capture in captures(board):
        capture.device = device


def in_batches(board: object) -> bool:
    """Whether a capture of the board runs on a device that cuts long blocks up and runs the pieces as a batch."""
    return any(is_gpu(capture.device) or capture.device == "batched" for capture in captures(board))


def cost(board: object, channels: int = 1) -> float:
    """Seconds of one core that a board's captures need for a second of audio; measured."""
    return channels * sum(_cost(capture) for capture in captures(board))


def _cost(capture: NeuralProcessor, samples: int = 2048) -> float:
    block = np.zeros((1, samples), np.float32)
    probe = NeuralProcessor(capture.capture, device="cpu", oversample=capture.oversample)
    taken = []
    for _ in range(3):
        began = time.perf_counter()
        probe.process(block, capture.sample_rate, samples, reset=False)
        taken.append(time.perf_counter() - began)
    return min(taken) * capture.sample_rate / samples


def offline_device(board: object, seconds: float, jobs: int = 1) -> str:
    """Where ``auto`` renders `seconds` of audio (channels added up) that otherwise `jobs` cores would: cpu or cuda."""
    if not has_cuda():
        return "cpu"
    cores = min(jobs, os.cpu_count() or 1)
    return "cuda" if cost(board) * seconds / cores > START_SECONDS else "cpu"


class LivePlacement:
    """Where the live streams of a worker run.

    Args:
        device: ``auto`` or one that all streams run on.
        cores: of this machine.

    Raises:
        DeviceError: the device is unknown or not there.
    """

    def __init__(self, device: str = "auto", cores: int | None = None) -> None:
        self.device = check_device(device)
        self.cores = cores or os.cpu_count() or 1
        self.load = 0.0
        self._lock = threading.Lock()

    def put(self, board: object, channels: int) -> float:
        """Place a board that will play as one more stream; what it adds to `load`, to give back to `end`."""
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
        """A stream has ended."""
        with self._lock:
            self.load = max(0.0, self.load - taken)
