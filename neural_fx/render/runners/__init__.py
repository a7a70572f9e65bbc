"""Run many renders: one after another, in several processes, or as other packages do.

Each way is one `Runner` in the registry `RUNNERS`.
"""

from neural_fx.render.runners.registry import AUTO, RUNNERS, Callbacks, Runner, find_runner

__all__ = ["AUTO", "RUNNERS", "Callbacks", "Runner", "find_runner"]
