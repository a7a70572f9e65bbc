"""Render files through boards: planned, streamed in blocks, and run by any runner.

`plan` decides which files are read and written. `render_file` renders one file. `render_all` renders many: it makes a
`Job` of each and hands them to a `Runner`. Other packages add runners through the entry-point group
``neural_fx.runners``.
"""

from neural_fx.render.batch import render_all
from neural_fx.render.file import render_file
from neural_fx.render.jobs import BoardRecipe, Job
from neural_fx.render.output import Output
from neural_fx.render.plans import file_format, plan
from neural_fx.render.report import Interrupted, Report
from neural_fx.render.runners import RUNNERS, Callbacks, Runner
from neural_fx.render.workers import Ending, Progress
from neural_fx.render.writing import write_audio

__all__ = [
    "RUNNERS",
    "BoardRecipe",
    "Callbacks",
    "Ending",
    "Interrupted",
    "Job",
    "Output",
    "Progress",
    "Report",
    "Runner",
    "file_format",
    "plan",
    "render_all",
    "render_file",
    "write_audio",
]
