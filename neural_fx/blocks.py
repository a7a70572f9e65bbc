"""Name all block sizes, queue lengths and fade times of `neural_fx` and `instruments`, with the reason for each.

Lengths are in samples, if nothing else is said. Numbers of an algorithm or a file format stand with it, for example the
frames of the timbre analysis. Those of the worker and its connections stand in `bridge`.
"""

from __future__ import annotations

# -- Streams -----------------------------------------------------------------------------------------------------------

BUFFER_SIZE = 8192
"""The largest block, by default. pedalboard has the same default."""

CAPTURE_BLOCK = 8192
"""The least that a capture processes at once of a long signal. Each call of a network costs microseconds, and the
output does not depend on the block size."""

FLUSH_BLOCK = 4096
"""The largest block of silence that pushes the rest out of a stream. Most latencies are shorter than this."""

FLUSH_SECONDS = 30.0
"""The most silence that pushes the rest out of a stream. Samples that are still missing then become zeros."""

NATIVE_BLOCK = 1 << 16
"""The most that a native plugin gets at once. Some crash on millions of samples."""

NATIVE_PRIMING = 1 << 16
"""The most silence that a native plugin gets until its first sample comes out. Some never return any for silence."""

SMOOTHING_SECONDS = 0.02
"""Time in which a parameter moves to a new value. It does not click, and is still at once for the ear."""

FADE_SECONDS = 0.02
"""Time of the fade between two networks of a capture: as for a parameter."""

TIMBRE_SMOOTHING_FRAMES = 12
"""Frames of 4 ms in which a parameter of a timbre moves. Its values are computed once per frame, not per sample."""

# -- The torch engine --------------------------------------------------------------------------------------------------

TORCH_BLOCK = 4096
"""Length of a call of the network. Measured: the fastest on CPUs for a dozen channels (2048 to 8192 are close)."""

SEGMENT = 1 << 16
"""Output of one item, when a long signal runs as a batch of overlapping segments. Only the overlap is computed twice,
and most receptive fields are short beside this."""

MOST_SEGMENTS = 64
"""The most items of such a batch: some 4 million samples, 0.3 GB per 16 channels."""

# -- Batches on a GPU --------------------------------------------------------------------------------------------------

DEADLINE_FRACTION = 0.5
"""Deadline of a block, as a fraction of its duration. The rest is for the board's other slots and the connection."""

OFFLINE = 1 << 15
"""Length from which a block counts as offline: 0.7 s at 48 kHz, too late for playing. It runs at once, by itself, in
overlapping segments."""

FIRST_PLACES = 8
"""Streams that a new pool has memory for. The memory doubles when it is full, so a few streams need little."""

MOST_GRAPHS = 8
"""The most CUDA graphs of a pool, one per block length. Each holds memory for a step of all streams. Blocks of other
lengths run without a graph."""

MOST_USUAL_TIMES = 4096
"""The most usual times of batches that a scheduler keeps, one per network and block length. All are forgotten when
there are more, because a caller keeps changing the length of its blocks."""

# -- Renders -----------------------------------------------------------------------------------------------------------

RENDER_BLOCK = 65536
"""Length that a render reads at a time: a multiple of `BUFFER_SIZE`, so that the blocks are those of one long call."""

GPU_RENDER_BLOCK = 1 << 22
"""The same for boards with captures on a GPU, which cut it up again and run the segments as a batch."""

WRITE_FRAMES = 65536
"""Length that a render writes at a time. libsndfile's Vorbis encoder crashes on some millions at once."""

RENDER_STOP_SECONDS = 30.0
"""Time that a process of a render has to stop. It looks between blocks, and may still be loading a model."""

# -- Files and measurements --------------------------------------------------------------------------------------------

READ_BLOCK = 1 << 20
"""Length of the pieces in which a whole file is read into memory: few calls for long files."""

COST_BLOCK = 2048
"""Length of the block that the cost of a capture is measured with. It takes a few milliseconds."""

LOUDNESS_BLOCK = 48000
"""Length of the pieces in which a capture's loudness is measured. It bounds the memory of the measurement."""

RESPONSE_BLOCK = 8192
"""Length of the pieces in which an impulse response is measured. The response does not depend on it."""

RESPONSE_PRIMING_SECONDS = 0.25
"""Silence before that measurement, in which a convolution has faded in."""

# -- Instruments -------------------------------------------------------------------------------------------------------

CONTROL_STEP = 192
"""Length between changes of bends and glides: 4 ms at 48 kHz, as the frames of a timbre."""

MOST_WAITING_MESSAGES = 65536
"""MIDI messages that wait for an instrument's next block. When there are more, the oldest are dropped."""

STOLEN_VOICE_FADE = 96
"""Length of the fade-out of a stolen voice, under the new note: 2 ms at 48 kHz, so that it does not click."""

SONG_STEP_SECONDS = 2.0
"""Audio of a song that is rendered between reports of progress."""

SONG_FADE_SECONDS = 0.05
"""Fade-out at the very end of a song, in case something still rings."""
