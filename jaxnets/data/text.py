"""Words as arrays of smaller things."""

from jaxnets.checks import as_integers
from jaxnets.errors import DataError


def character_ngrams(word: str, n: int) -> list[str]:
    """Every run of `n` characters of a word, from the left; none where the word is shorter.

    FastText marks a word's ends before it cuts, so that a prefix differs from the same letters
    inside: `character_ngrams(f"<{word}>", 3)` (Bojanowski et al. 2017, section 3.2).

    >>> character_ngrams("apple", 3)
    ['app', 'ppl', 'ple']

    Raises DataError unless `n` is a positive integer.
    """
    [n] = as_integers("character_ngrams", error=DataError, n=n)
    return [word[first : first + n] for first in range(len(word) - n + 1)]
