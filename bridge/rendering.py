"""Files rendered at the word of a message, on a thread, one at a time."""

from __future__ import annotations

import itertools
import threading
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor

from bridge.errors import BridgeError
from bridge.host import BoardHost
from bridge.media import Media
from neural_fx.audio import open_audio
from neural_fx.inputs import printable
from neural_fx.render import Output, render_file
from neural_fx.values import suggestion

MOST_WAITING = 64


class Renders:
    """A queue of renders.

    Args:
        media: where inputs are and outputs go.
        boards: whose board files are used, with the parameters as they stand.
    """

    def __init__(self, media: Media, boards: dict[str, BoardHost]) -> None:
        self.media, self.boards = media, boards
        self.pool = ThreadPoolExecutor(1, "render")
        self.waiting = 0
        self.lock = threading.Lock()

    def start(self, source: str, target: str, board: str, reply: Callable[..., None]) -> None:
        """Queue a render.

        Replies ``/render/progress`` while it runs, ``/render/remark`` for what is odd about the input, and at the end
        ``/render/done`` or ``/render/error``.

        Raises:
            BridgeError: unknown board, a file that may not be read or written, or too many waiting.
        """
        if board not in self.boards:
            raise BridgeError(
                f"no board {board!r}{suggestion(board, self.boards)}; there is: {', '.join(self.boards) or 'none'}"
            )
        path, out = self.media.existing(source), self.media.new(target)
        with self.lock:
            if self.waiting >= MOST_WAITING:
                raise BridgeError(f"{MOST_WAITING} renders are waiting already")
            self.waiting += 1
        number = next(_NUMBERS)

        def run() -> None:
            try:
                with open_audio(path) as reader:
                    total = reader.frames / reader.sample_rate
                done = 0.0

                def advance(seconds: float) -> None:
                    nonlocal done
                    done += seconds
                    reply("/render/progress", number, min(1.0, done / max(total, 1e-9)))

                output = Output(overwrite=self.media.overwrite)
                report = render_file(path, out, self.boards[board].copy(), output, advance)
                for remark in report.remarks:
                    reply("/render/remark", number, remark)
                reply("/render/done", number, target)
            except Exception as error:  # whatever a file or a plugin raises, the next render must run
                text = " ".join(str(error).split()) or type(error).__name__
                reply("/render/error", number, printable(text))
            finally:
                with self.lock:
                    self.waiting -= 1

        self.pool.submit(run)


_NUMBERS = itertools.count(1)
