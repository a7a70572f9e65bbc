"""Drums that are made, not sampled: a network, noise bands and sines, played from notes.

`instrument` has the class `Drums`. A hit goes from `network` (numbers to bands and sines) through `rendering` to `kit`,
which keeps it, and to `voices`, which plays it. `bands`, `sines` and `knobs` measure recorded hits in the same terms.
"""

from instruments.drums.instrument import FAMILY, Drums

__all__ = ["FAMILY", "Drums"]
