"""Tokens of text."""

from jaxnets.checks import as_integers
from jaxnets.errors import DataError


def character_ngrams(word: str, n: int) -> list[str]:
    """The character n-grams of a word, from left to right; empty if the word is shorter than n.

    FastText adds boundary symbols, so that a prefix differs from the same letters inside a word:
    `character_ngrams(f"<{word}>", 3)` (Bojanowski et al. 2017, section 3.2).

    >>> character_ngrams("apple", 3)
    ['app', 'ppl', 'ple']

    Raises DataError unless `n` is a positive integer.
    """
    [n] = as_integers("character_ngrams", error=DataError, n=n)
    return [word[first : first + n] for first in range(len(word) - n + 1)]
