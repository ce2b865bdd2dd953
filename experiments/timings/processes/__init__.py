"""Processes that train the same network for one epoch: with jaxnets, and by hand in JAX.

Each prints a line after its first 16 steps and, at the end, its test accuracy.
"""
