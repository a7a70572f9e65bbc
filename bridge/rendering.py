"""Files rendered on an OSC request: on a thread, one at a time, until they are cancelled or nobody waits for them."""

from __future__ import annotations

import itertools
import threading
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from contextlib import suppress
from dataclasses import dataclass, field
from pathlib import Path

from bridge.errors import BridgeError
from bridge.host import BoardHost
from bridge.media import Media
from neural_fx.audio import open_audio
from neural_fx.errors import reason
from neural_fx.inputs import printable
from neural_fx.plans import FORMATS
from neural_fx.processor import Spec
from neural_fx.render import Interrupted, Output, render_file
from neural_fx.values import shown, suggestion

MOST_WAITING = 64
"""Renders that wait or run, of all peers together."""
MOST_OF_ONE_PEER = 16
MOST_SECONDS = 4 * 3600.0
"""The longest audio: a compressed file of a few megabytes can be silence for days and fill the disk."""


def never() -> bool:
    """Say that a peer is still there."""
    return False


@dataclass(eq=False)
class Render:
    """A render that waits or runs.

    Attributes:
        number: counts all renders of this process.
        source, target: the files; `name` is how the peer named the target.
        board: its name.
        reply: answers the peer.
        abandoned: asked whether the peer is gone.
        peer: who asked for it.
        cancelled: set to end it.
    """

    number: int
    source: Path
    target: Path
    name: str
    board: str
    reply: Callable[..., None]
    abandoned: Callable[[], bool] = never
    peer: object = None
    cancelled: threading.Event = field(default_factory=threading.Event)

    def stop(self) -> bool:
        """Return whether nobody wants the render any more."""
        return self.cancelled.is_set() or self.abandoned()


class Renders:
    """A queue of renders.

    Args:
        media: where inputs are and outputs go.
        boards: whose board files are used, with the parameters as they stand.
    """

    def __init__(self, media: Media, boards: dict[str, BoardHost]) -> None:
        self.media, self.boards = media, boards
        self.pool = ThreadPoolExecutor(1, "render")
        self.renders: dict[int, Render] = {}
        self.lock = threading.Lock()

    def start(
        self,
        source: str,
        target: str,
        board: str,
        reply: Callable[..., None],
        abandoned: Callable[[], bool] = never,
        peer: object = None,
    ) -> None:
        """Queue a render.

        Replies ``/render/progress`` while it runs, ``/render/remark`` for what is odd about the input, and at the end
        ``/render/done`` or ``/render/error``, each with the render's number first.

        Args:
            source: an audio file of the media folders.
            target: the audio file to write there.
            board: whose board processes it.
            reply: answers the peer.
            abandoned: asked between blocks whether the peer is gone; then the render ends and leaves no file.
            peer: tells apart who asks; each may have `MOST_OF_ONE_PEER` renders in the queue. None: not known.

        Raises:
            BridgeError: unknown board, a file that may not be read or written, or too many waiting.
        """
        if board not in self.boards:
            raise BridgeError(
                f"no board {shown(board)}{suggestion(board, self.boards)}; there is: {', '.join(self.boards) or 'none'}"
            )
        path, out = self.media.existing(source), self.media.new(target, tuple(FORMATS))
        render = Render(next(_NUMBERS), path, out, target, board, reply, abandoned, peer)
        with self.lock:
            if len(self.renders) >= MOST_WAITING:
                raise BridgeError(f"{MOST_WAITING} renders are waiting already")
            if peer is not None and sum(r.peer == peer for r in self.renders.values()) >= MOST_OF_ONE_PEER:
                raise BridgeError(f"{MOST_OF_ONE_PEER} renders of yours are waiting already")
            self.renders[render.number] = render
        try:
            self.pool.submit(self._run, render)
        except RuntimeError:  # shut down
            self._forget(render)
            raise BridgeError("the worker is about to end; no more renders") from None

    def cancel(self, which: str | int) -> list[int]:
        """End renders that wait or run; their files are not written and their peers get ``/render/error``.

        Args:
            which: the number of a render, or the name of the file that it writes.

        Returns:
            their numbers.

        Raises:
            BridgeError: there is none.
        """
        with self.lock:
            found = [render for render in self.renders.values() if which in (render.number, render.name)]
        if not found:
            raise BridgeError(f"no render {shown(which)} waits or runs; give the name of its output, or its number")
        for render in found:
            render.cancelled.set()
        return [render.number for render in found]

    def close(self) -> None:
        """End all renders; the one that runs ends at its next block, and those that wait tell their peers."""
        with self.lock:
            for render in self.renders.values():
                render.cancelled.set()
        self.pool.shutdown(wait=False)

    def _run(self, render: Render) -> None:
        try:
            if render.stop():
                raise Interrupted
            for remark in self._rendered(render):
                render.reply("/render/remark", render.number, self._readable(remark))
            render.reply("/render/done", render.number, render.name)
        except Interrupted:
            with suppress(Exception):
                render.reply("/render/error", render.number, "cancelled; no file was written")
        except Exception as error:  # whatever a file or a plugin raises, the next render must run
            with suppress(Exception):
                render.reply("/render/error", render.number, self._readable(reason(error)))
        finally:
            self._forget(render)

    def _rendered(self, render: Render) -> list[str]:
        """Render a file and return what is odd about it.

        Raises:
            NeuralFXError: it cannot be rendered.
            Interrupted: nobody wants it any more.
        """
        with open_audio(render.source) as reader:
            total = reader.frames / reader.sample_rate
            spec = Spec(reader.sample_rate, reader.channels)
        if total > MOST_SECONDS:
            raise BridgeError(
                f"{render.source.name} lasts {total / 3600:.1f} h; a render on request is of at most "
                f"{MOST_SECONDS / 3600:g} h, so cut it into parts"
            )
        done = 0.0

        def advance(seconds: float) -> None:
            nonlocal done
            done += seconds
            render.reply("/render/progress", render.number, min(1.0, done / max(total, 1e-9)))

        board = self.boards[render.board].copy(spec)
        output = Output(overwrite=self.media.overwrite)
        return render_file(render.source, render.target, board, output, advance, render.stop).remarks

    def _readable(self, text: str) -> str:
        return printable(self.media.without_folders(" ".join(text.split())))

    def _forget(self, render: Render) -> None:
        with self.lock:
            self.renders.pop(render.number, None)


_NUMBERS = itertools.count(1)
