"""Live audio: a process of its own does nothing but I/O, and hands samples to the worker through shared memory."""
