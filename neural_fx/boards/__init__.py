"""Read and write board files: YAML, one schema, errors with line and field, and a round trip.

board: 1                      # version of the format
name: Lead
mix: 1.0                      # dry to wet, 0..1
slots:
  - pedal: klon-gain-stage    # a bundled pedal
    set: {output_gain_db: -3}
  - model: amps/jcm.nam       # any capture; relative to this file
    level: normalized         # raw (default), normalized, calibrated; for pedals, too, but for calibrated
    oversample: 4             # 1 (default), 2, 4 or 8, against aliasing; pedals, too
    name: amp
  - ir: cabs/celestion.wav    # an impulse response
    mix: 1.0
  - plugin: Reverb            # any native pedalboard plugin, with its keywords
    set: {room_size: 0.3}
  - vst3: /path/to/Plugin.vst3
    set: {threshold: 0.4}     # raw values, 0..1
  - processor: tremolo        # a `Processor` that an installed package has announced
  - instrument: violin        # a sound of an instrument family
  - chain: [...]              # slots in series, as one
  - parallel: [...]           # slots side by side, added
macros:                       # knobs of the whole board, eight at most: see `neural_fx.macros`
  - {name: Gain, to: amp/input_gain_db, min: -6, max: 12}

Each kind of slot is one `SlotKind` in the registry `SLOTS`. Other packages add theirs through the entry-point group
``neural_fx.slots``.
"""

from neural_fx.boards.files import board_files
from neural_fx.boards.kinds.native import native_plugins
from neural_fx.boards.kinds.processors import PROCESSORS, NamedProcessor
from neural_fx.boards.paths import placed, relative
from neural_fx.boards.plan import BoardPlan
from neural_fx.boards.reader import MAX_BYTES, MAX_DEPTH, load_board, plan_board
from neural_fx.boards.registry import SLOTS, Describe, FieldError, Fill, SlotKind, add_slot, stored_values
from neural_fx.boards.schema import FileName, NamesFile, Slot, Strict, path_text
from neural_fx.boards.writer import board_text, save_board

__all__ = [
    "MAX_BYTES",
    "MAX_DEPTH",
    "PROCESSORS",
    "SLOTS",
    "BoardPlan",
    "Describe",
    "FieldError",
    "FileName",
    "Fill",
    "NamedProcessor",
    "NamesFile",
    "Slot",
    "SlotKind",
    "Strict",
    "add_slot",
    "board_files",
    "board_text",
    "load_board",
    "native_plugins",
    "path_text",
    "placed",
    "plan_board",
    "relative",
    "save_board",
    "stored_values",
]
