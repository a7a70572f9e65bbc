"""Train families of instruments on a person's own one-shots; used by `neural-fx train-instrument`.

`contract` says what a family implements. `names`, `labels` and `one_shots` read a folder and check every file.
"""

from instruments.training.contract import (
    Classes,
    FamilyTrainer,
    FamilyTraining,
    Findings,
    OneShot,
    Related,
    TrainingSettings,
)

__all__ = ["Classes", "FamilyTrainer", "FamilyTraining", "Findings", "OneShot", "Related", "TrainingSettings"]
