"""Train the network of `instruments.latent` on notes of any instruments. Needs torch.

`dataset_of` makes the data from analysed notes, `train` trains on it, and `measured` measures the result on notes that
were held out.
"""

from instruments.latent.training.checks import measured
from instruments.latent.training.dataset import Dataset, InstrumentNotes, dataset_of
from instruments.latent.training.loop import Trained, train
from instruments.latent.training.packing import load_dataset, save_dataset
from instruments.latent.training.settings import Settings

__all__ = [
    "Dataset",
    "InstrumentNotes",
    "Settings",
    "Trained",
    "dataset_of",
    "load_dataset",
    "measured",
    "save_dataset",
    "train",
]
