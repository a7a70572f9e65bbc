"""The outside world. Today the command line (`bridge.cli`).

OSC, MIDI, live audio and the worker process will stand beside it.
"""
