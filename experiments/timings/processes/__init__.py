"""One epoch of the same network as a whole process: with jaxnets, and by hand in JAX.

Each prints a line when its first 16 steps are done and, at the end, its test accuracy.
"""
