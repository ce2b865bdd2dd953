"""Seeing inside a run and a model."""
