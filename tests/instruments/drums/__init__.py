"""Tests of `instruments.drums`."""
