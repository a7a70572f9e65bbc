"""From a dry and a wet recording to a capture: `pairs` reads and cuts, `losses` judges, `loop` trains."""
