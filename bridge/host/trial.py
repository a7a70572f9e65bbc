"""``python -m bridge.host.trial``: build the board from standard input, play it, and report the result.

`bridge.host.trials` runs this. The answer is a JSON object on standard output: ``{"refused": SENTENCE}``. The sentence
is empty for a board that passes. If there is no answer, the board crashed the process.
"""

from __future__ import annotations

import json
import os
import signal
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import mido
import numpy as np

from bridge import limits
from bridge.host.hosted import Hosted
from bridge.host.sources import rules_of
from bridge.host.stream import Voice
from bridge.media import Media
from neural_fx.boards import load_board
from neural_fx.errors import BoardError, NeuralFXError, reason
from neural_fx.foreign import not_streaming
from neural_fx.inputs import printable
from neural_fx.processor import Spec

LEVEL = 0.5
"""Standard deviation of the noise: as loud as a hot guitar."""


def main() -> None:
    """Answer one request."""
    answer = _private_output()
    request: dict[str, Any] = json.load(sys.stdin)
    _limit(request["seconds"], request["memory_bytes"])
    try:
        _try(request)
        refused = ""
    except NeuralFXError as error:
        refused = str(error)
    except MemoryError:
        refused = "refused: the board takes too much memory"
    except Exception as error:  # third-party plugins can raise anything
        refused = f"refused: {type(error).__name__}: {reason(error)}"
    answer.write(json.dumps({"refused": printable(refused)[: limits.TRIAL_ANSWER_CHARACTERS]}).encode())
    answer.flush()
    os._exit(0)  # a plugin that crashes at exit does not change the result


def _private_output() -> Any:
    """Return the standard output, and redirect what plugins print."""
    answer = os.fdopen(os.dup(1), "wb")
    nothing = os.open(os.devnull, os.O_WRONLY)
    os.dup2(nothing, 1)
    os.dup2(nothing, 2)
    return answer


def _limit(seconds: float, memory_bytes: int) -> None:
    """Limit the time in seconds and the memory in bytes of this process, if the system can."""
    if hasattr(signal, "alarm"):
        signal.alarm(int(seconds) + 10)  # ends the process even if the worker is gone
    if hasattr(os, "nice"):
        os.nice(10)  # streams have priority
    try:
        import resource
    except ImportError:  # Windows
        return
    most = {resource.RLIMIT_CORE: 0}
    if sys.platform == "linux":
        most[resource.RLIMIT_DATA] = memory_bytes
    for kind, limit in most.items():
        _, hard = resource.getrlimit(kind)
        lowest = limit if hard == resource.RLIM_INFINITY else min(limit, hard)
        resource.setrlimit(kind, (lowest, lowest))


def _try(request: dict[str, Any]) -> None:
    """Build and play the board of a request.

    Raises:
        NeuralFXError: the board is refused.
    """
    folders = [Path(os.fsdecode(bytes.fromhex(folder))) for folder in request["folders"]]
    path = Path(os.fsdecode(bytes.fromhex(request["path"])))
    rate, channels, block = request["spec"]
    board = load_board(path, bytes.fromhex(request["text"]), rules_of(Media(folders, plugins=request["plugins"])))
    for name in not_streaming(board):
        raise BoardError(f"refused: {name} puts nothing out before the signal ends, so it cannot play live")
    play(Hosted(board), Spec(float(rate), int(channels), int(block)))


def play(board: Hosted, spec: Spec) -> None:
    """Play noise and then silence through a board, and a note if it takes notes.

    Args:
        board: the board.
        spec: rate, channels and largest block.

    Raises:
        BoardError: the output is not finite.
    """
    voice = Voice(board, spec)
    if board.takes_notes:
        board.play(mido.Message("note_on", note=60, velocity=100))
    random = np.random.default_rng(0)
    for frames, level in _blocks(spec):
        audio = level * random.standard_normal((spec.channels, frames))
        if not np.isfinite(voice.process(audio.astype(np.float32))).all():
            raise BoardError("refused: the board's output for a test signal is not finite")


def _blocks(spec: Spec) -> Iterator[tuple[int, float]]:
    """Yield the length of each block and the level of the noise in it.

    The largest block comes first, then smaller blocks of noise, then silence.
    """
    yield max(1, min(spec.buffer_size, limits.TRIAL_BLOCK_SAMPLES // spec.channels)), LEVEL
    total = min(limits.TRIAL_SAMPLES // spec.channels, round(spec.sample_rate))
    size = max(1, min(spec.buffer_size, total // limits.TRIAL_BLOCKS))
    for done in range(0, total, size):
        yield size, LEVEL if done < total // 2 else 0.0


if __name__ == "__main__":
    main()
