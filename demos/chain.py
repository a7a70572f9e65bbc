"""Run a neural capture between native pedalboard effects, in blocks and in one call, and compare the results.

python demos/chain.py [CAPTURE] [OUT.wav]
"""

from __future__ import annotations

import sys
from importlib.resources import as_file, files

import numpy as np
import pedalboard
from pedalboard.io import AudioFile

import neural_fx
from neural_fx.pedals import KlonGainStage

capture = neural_fx.load(sys.argv[1]) if len(sys.argv) > 1 else KlonGainStage()
out = sys.argv[2] if len(sys.argv) > 2 else "chain.wav"

board = neural_fx.Pedalboard(
    [
        pedalboard.Compressor(threshold_db=-24, ratio=3),
        capture,
        neural_fx.Mix([neural_fx.Chain(), neural_fx.Chain([pedalboard.Delay(0.28, mix=1), pedalboard.Gain(-12)])]),
        pedalboard.Reverb(room_size=0.3, wet_level=0.15),
    ]
)

with as_file(files("neural_fx") / "assets" / "riff.flac") as riff, AudioFile(str(riff)) as source:
    rate = source.samplerate
    with AudioFile(out, "w", rate, 1) as target:
        while source.tell() < source.frames:
            target.write(board(source.read(4096), rate, reset=False))
        target.write(board.flush())
    source.seek(0)
    whole = board(source.read(source.frames), rate)

with AudioFile(out) as written:
    difference = np.abs(written.read(written.frames) - whole).max()
print(f"{out}: largest difference from one call {difference:.1e} (a 16-bit file rounds by up to {2**-14:.1e})")
