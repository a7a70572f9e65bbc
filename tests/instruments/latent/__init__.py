"""Tests of notes as parameters."""
