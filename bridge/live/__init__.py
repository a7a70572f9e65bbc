"""Play boards on live audio. A separate process does the I/O, and shares samples with the worker in memory."""
