"""Timings of parts: alternatives measured in turns on one machine, with quartiles."""
