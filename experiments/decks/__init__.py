"""The five decks, one script each, run with `python -m experiments.decks.s0` to `s4`."""
