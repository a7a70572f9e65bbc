"""Train a timbre from solo recordings; used by `neural-fx train-timbre`."""
