"""Learning a timbre from solo recordings: `neural-fx train-timbre`."""
