"""Tests of the benchmark: that it runs and tells what it found; nothing here is timed."""
