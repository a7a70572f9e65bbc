"""Try boards from the network in a process of their own before the worker builds them.

Native code that crashes or hangs takes its process down. In a trial, this affects one board and not the worker. The
other process runs `bridge.host.trial`.
"""

from __future__ import annotations

import hashlib
import json
import os
import signal
import subprocess
import sys
import threading
import time
from collections import OrderedDict
from contextlib import suppress
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

from bridge import limits
from bridge.media import Media
from neural_fx.errors import BoardError, reason
from neural_fx.interruption import checkpoint
from neural_fx.processor import Spec

STANDARD = Spec(48000.0, 2, 512)
"""Rate, channels and block size of a trial, if those of the stream are not known yet."""


@dataclass(frozen=True)
class Trial:
    """A board to try.

    Attributes:
        path: path of the board file. Paths in the text are relative to its folder.
        text: content of the board file.
        media: the files that the board may use.
        identity: a text that changes with the content of the board file and of the files that it names.
    """

    path: Path
    text: bytes
    media: Media
    identity: str


_verdicts: OrderedDict[str, str] = OrderedDict()
"""Results by content and spec: why the board was refused, or an empty text."""
_lock = threading.Lock()
_turns = threading.BoundedSemaphore(limits.TRIALS_AT_ONCE)


def try_out(trial: Trial, spec: Spec) -> None:
    """Build and play a board in another process, unless the result for the same content is known.

    Args:
        trial: the board.
        spec: how to play it. The block size is rounded up, because smaller blocks need no trial of their own.

    Raises:
        BoardError: the board is refused. The message has the reason.
    """
    spec = replace(spec, buffer_size=_rounded(spec.buffer_size))
    key = _key(trial, spec)
    refusal = _known(key)
    if refusal is None:
        _take_turn()
        try:
            refusal = _known(key)
            if refusal is None:
                refusal = _run(trial, spec)
                _keep(key, refusal)
        finally:
            _turns.release()
    if refusal:
        raise BoardError(refusal)


def _take_turn() -> None:
    """Wait until a trial may begin.

    Raises:
        BoardError: other trials took too long.
        Interrupted: no client waits for the board any more.
    """
    deadline = time.monotonic() + limits.TRIAL_WAIT_SECONDS
    while not _turns.acquire(timeout=limits.TRIAL_CHECK_SECONDS):
        checkpoint()
        if time.monotonic() > deadline:
            raise BoardError("the worker is busy with trying out other boards; try again later")


def _answer(process: subprocess.Popen[bytes], request: bytes) -> bytes:
    """Send a request to the process of a trial, and return its output.

    Raises:
        TimeoutExpired: the process takes longer than `limits.TRIAL_SECONDS`.
        Interrupted: no client waits for the board any more.
    """
    deadline = time.monotonic() + limits.TRIAL_SECONDS
    question: bytes | None = request
    while True:
        try:
            return process.communicate(question, limits.TRIAL_CHECK_SECONDS)[0]
        except subprocess.TimeoutExpired:
            question = None  # `communicate` keeps the request
            checkpoint()
            if time.monotonic() > deadline:
                raise


def _rounded(buffer_size: int) -> int:
    """Round a block size up to a power of two, at least that of `STANDARD`. Fewer sizes need fewer trials."""
    return max(STANDARD.buffer_size, 1 << (buffer_size - 1).bit_length())


def _key(trial: Trial, spec: Spec) -> str:
    folders = sorted(map(str, trial.media.folders))
    parts = [trial.identity, spec.sample_rate, spec.channels, spec.buffer_size, trial.media.plugins, folders]
    return hashlib.sha256(repr(parts).encode("utf-8", "surrogateescape")).hexdigest()


def _known(key: str) -> str | None:
    with _lock:
        if key in _verdicts:
            _verdicts.move_to_end(key)
        return _verdicts.get(key)


def _keep(key: str, refusal: str) -> None:
    with _lock:
        _verdicts[key] = refusal
        while len(_verdicts) > limits.TRIAL_RESULTS:
            _verdicts.popitem(last=False)


def _run(trial: Trial, spec: Spec) -> str:
    """Run a trial, and return why the board is refused; empty if it passes.

    Raises:
        BoardError: the trial could not be finished, so the result must not be kept.
    """
    request = {
        "path": os.fsencode(trial.path).hex(),
        "text": trial.text.hex(),
        "folders": [os.fsencode(folder).hex() for folder in trial.media.folders],
        "plugins": trial.media.plugins,
        "spec": [spec.sample_rate, spec.channels, spec.buffer_size],
        "seconds": limits.TRIAL_SECONDS,
        "memory_bytes": limits.TRIAL_MEMORY_BYTES,
    }
    try:
        process = subprocess.Popen(
            [sys.executable, "-m", "bridge.host.trial"],
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            stderr=subprocess.DEVNULL,
            env=_environment(),
            start_new_session=True,
        )
    except OSError as error:
        raise BoardError(f"the board cannot be tried out: {reason(error)}") from None
    try:
        answer = _answer(process, json.dumps(request).encode())
    except subprocess.TimeoutExpired:
        raise BoardError(
            "refused: the board was tried out in a process of its own first, which took over "
            f"{limits.TRIAL_SECONDS:g} s; a plugin in it hangs, or the board is too large"
        ) from None
    except OSError as error:
        raise BoardError(f"the board cannot be tried out: {reason(error)}") from None
    finally:
        _end(process)
    return _verdict(answer, process.returncode)


def _verdict(answer: bytes, status: int) -> str:
    try:
        found: Any = json.loads(answer)
        return str(found["refused"])
    except (ValueError, KeyError, TypeError):
        return (
            "refused: the board was tried out in a process of its own first, and that process died "
            f"({_death(status)}); a plugin in it would take the worker down"
        )


def _death(status: int) -> str:
    """Describe the exit status of a process."""
    with suppress(ValueError):
        if status < 0:
            return signal.Signals(-status).name
    return f"exit status {status}"


def _environment() -> dict[str, str]:
    """Return the environment of a trial: the same modules, one thread, no GPU, and not the worker's token."""
    paths = os.pathsep.join(path for path in sys.path if path)
    threads = dict.fromkeys(("OMP_NUM_THREADS", "OPENBLAS_NUM_THREADS", "MKL_NUM_THREADS"), "1")
    safe = {"PYTHONPATH": paths, "PYTHONSAFEPATH": "1", "CUDA_VISIBLE_DEVICES": ""}
    inherited = {name: value for name, value in os.environ.items() if name != "NEURAL_FX_TOKEN"}
    return {**inherited, **threads, **safe}


def _end(process: subprocess.Popen[bytes]) -> None:
    """End a process and its children, and release its resources."""
    if process.poll() is None:
        with suppress(OSError):
            if hasattr(os, "killpg"):
                os.killpg(process.pid, signal.SIGKILL)
            else:
                process.kill()
    for pipe in (process.stdin, process.stdout):
        if pipe is not None:
            with suppress(OSError):
                pipe.close()
    process.wait()
