"""Choose the ticks at which playing notes are decoded. Amplitudes change linearly from frame to frame.

Frames are dense where the network has heard dense ones: at the onset and after the release. Elsewhere they are 10 ms
apart. Notes share the ticks of their frames, so that one matrix product decodes all of them.
"""

from __future__ import annotations

from dataclasses import dataclass


@dataclass(frozen=True)
class FrameSteps:
    """How far frames are apart, in ticks. Each step is a multiple of the ones before.

    Attributes:
        onset_ticks: in which every tick is a frame.
        release_ticks: after the release, in which frames are `release_step` apart.
        release_step: see there.
        sparse_step: at all other times.
    """

    onset_ticks: int = 20
    release_ticks: int = 24
    release_step: int = 2
    sparse_step: int = 4

    def ticks_to_frame(self, ticks: float, release: float, tick: int) -> int:
        """Return in how many ticks a note's next frame is.

        Args:
            ticks: since the note's onset.
            release: tick of its release. Infinite while it is held.
            tick: number of ticks that all voices together have played.
        """
        if ticks < self.onset_ticks:
            return 1
        soon = release <= ticks < release + self.release_ticks
        step = self.release_step if soon else self.sparse_step
        return step - tick % step


STEPS = FrameSteps()
