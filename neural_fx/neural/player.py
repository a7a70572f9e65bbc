"""Play one stream of a capture, with knobs and gains that move smoothly: `Player`."""

from __future__ import annotations

from collections.abc import Mapping

import numpy as np
from numpy.typing import NDArray

from neural_fx import blocks
from neural_fx.arrays import Audio
from neural_fx.dry_wet import crossfade, fade_in
from neural_fx.engines import Stream
from neural_fx.formats import Capture
from neural_fx.neural.sizes import Sizes
from neural_fx.parameters import Ramp


def amplified(audio: Audio, gain: NDArray[np.float32] | np.float32) -> Audio:
    """Multiply audio by a gain. A gain of 1 returns the audio itself.

    Args:
        audio: (channels, samples).
        gain: a linear factor, or (samples,) of them.
    """
    if not isinstance(gain, np.ndarray) and gain == 1:
        return audio
    return np.multiply(audio, gain, dtype=np.float32)


class Player:
    """One stream of a capture. Knobs and gains move smoothly, and a change of size is cross-faded.

    Args:
        capture: that plays.
        rate: sample rate in Hz, the model's own or a multiple of it.
        sizes: the capture's networks.
        channels: of the stream.
        targets: parameter values to start at, with gains as linear factors.
    """

    def __init__(
        self, capture: Capture, rate: float, sizes: Sizes, channels: int, targets: Mapping[str, float]
    ) -> None:
        self.capture = capture
        self.sizes = sizes
        self.channels = channels
        samples = int(rate * blocks.SMOOTHING_SECONDS)
        self.ramps = {name: Ramp(value, samples) for name, value in targets.items() if name != "size"}
        self.targets: Mapping[str, float] = targets
        self.playing = self.wanted = sizes.pick(targets.get("size", 1.0))
        self.stream = self._fresh(self.playing)
        self.next: tuple[int, Stream] | None = None
        self.faded = 0
        self.fade_samples = max(1, int(rate * blocks.FADE_SECONDS))
        # Only a capture with several sizes needs its recent input, which prewarms the next size.
        past_samples = capture.prewarm * sizes.oversample if len(sizes.networks) > 1 else 0
        self.past = np.zeros((channels, 1 + len(capture.knobs), past_samples), np.float32)

    def _fresh(self, index: int) -> Stream:
        """Open a stream of one network, after silence with the knobs where they are now."""
        stream = self.sizes.stream(index, self.channels)
        controls = np.array([self.ramps[name].value for name in self.capture.knobs], np.float32)
        stream.reset(self.capture.prewarm, controls)
        return stream

    def process(self, block: Audio, targets: Mapping[str, float]) -> Audio:
        """Process a block.

        Args:
            block: (channels, samples).
            targets: parameter values to move to from the start of the block.

        Returns:
            (channels, samples).
        """
        # The targets are the same dict until a value changes, so most blocks skip this.
        if targets is not self.targets:
            for name, ramp in self.ramps.items():
                ramp.aim(targets[name])
            self.targets = targets
            self.wanted = self.sizes.pick(targets.get("size", 1.0))
        count = block.shape[1]
        x = amplified(block, self.ramps["input_gain_db"].next(count))[:, None]
        if self.capture.knobs:
            knobs = np.empty((self.channels, len(self.capture.knobs), count), np.float32)
            for i, name in enumerate(self.capture.knobs):
                knobs[:, i] = self.ramps[name].next(count)
            x = np.concatenate((x, knobs), 1)
        y = self._network(x, self.wanted)
        return amplified(y, self.ramps["output_gain_db"].next(count))

    def _network(self, x: NDArray[np.float32], wanted: int) -> Audio:
        """Run the network. A new size is prewarmed with the recent input, then cross-faded in."""
        if self.next is None and wanted != self.playing:
            stream = self._fresh(wanted)
            stream.process(self.past)
            self.next = (wanted, stream)
            self.faded = 0
        y = self.stream.process(x)[:, 0]
        if self.next is not None:
            coming = self.next[1].process(x)[:, 0]
            y = crossfade(y, coming, fade_in(self.faded, x.shape[2], self.fade_samples))
            self.faded += x.shape[2]
            if self.faded >= self.fade_samples:
                self.playing, self.stream = self.next
                self.next = None
        if self.past.shape[2]:
            self.past = np.concatenate((self.past, x), 2)[:, :, -self.past.shape[2] :]
        return y
