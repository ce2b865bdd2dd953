"""Timings of single components: alternatives take turns on one machine, with quartiles."""
