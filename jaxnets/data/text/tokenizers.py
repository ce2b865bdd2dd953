"""Tokenizers: functions from a text to its list of tokens."""

import re
import unicodedata
from collections.abc import Callable, Sequence
from dataclasses import dataclass

from jaxnets.checks import as_integers
from jaxnets.errors import DataError

Tokenizer = Callable[[str], list[str]]


@dataclass(frozen=True)
class Words:
    r"""Splits a text into words and n-grams of words, like scikit-learn's `CountVectorizer`.

    Attributes:
      lowercase: convert the text to lower case.
      strip_accents: remove accents, so that "é" becomes "e".
      pattern: the regular expression of a word; by default two or more letters, digits or
        underscores. `r"\w+|[^\w\s]"` keeps single characters and punctuation.
      stop_words: words to leave out, before n-grams are formed.
      ngrams: the shortest and the longest n-gram, in words: `(1, 2)` for words and pairs.

    >>> Words(ngrams=(1, 2))("No, not bad.")
    ['no', 'not', 'bad', 'no not', 'not bad']

    Raises:
      DataError: an invalid pattern or range.
    """

    lowercase: bool = True
    strip_accents: bool = False
    pattern: str = r"\b\w\w+\b"
    stop_words: tuple[str, ...] = ()
    ngrams: tuple[int, int] = (1, 1)

    def __post_init__(self) -> None:
        """Check the attributes."""
        object.__setattr__(self, "ngrams", _range("Words", self.ngrams))
        if isinstance(self.stop_words, str):
            raise DataError(
                f"Words expects stop_words as a list of words, but got {self.stop_words!r}; write "
                f"[{self.stop_words!r}]"
            )
        object.__setattr__(self, "stop_words", tuple(self.stop_words))
        try:
            expression = re.compile(self.pattern)
        except (re.error, TypeError) as error:
            raise DataError(
                f"Words expects a regular expression, but got {self.pattern!r} ({error}); the "
                r"default is r'\b\w\w+\b'"
            ) from None
        if expression.groups > 1:
            raise DataError(
                f"Words expects a pattern with at most one group, but got {self.pattern!r}; write "
                "(?:...) for a group that is not captured"
            )

    def __call__(self, text: str) -> list[str]:
        """The words of a text, then its longer n-grams."""
        words = re.findall(self.pattern, _normalize(text, self.lowercase, self.strip_accents))
        words = [word for word in words if word not in self.stop_words]
        shortest, longest = self.ngrams
        return [" ".join(gram) for n in range(shortest, longest + 1) for gram in _windows(words, n)]


@dataclass(frozen=True)
class Characters:
    """Splits a text into n-grams of characters, with several white-space characters as one.

    Attributes:
      lowercase: convert the text to lower case.
      strip_accents: remove accents, so that "é" becomes "e".
      within_words: form n-grams inside words only, each with a space on either side, as
        scikit-learn's analyzer "char_wb".
      ngrams: the shortest and the longest n-gram, in characters.

    >>> Characters()("Tea")
    ['t', 'e', 'a']

    Raises:
      DataError: an invalid range.
    """

    lowercase: bool = True
    strip_accents: bool = False
    within_words: bool = False
    ngrams: tuple[int, int] = (1, 1)

    def __post_init__(self) -> None:
        """Check the range."""
        object.__setattr__(self, "ngrams", _range("Characters", self.ngrams))

    def __call__(self, text: str) -> list[str]:
        """The n-grams of a text, or of each of its words in turn, the shortest first."""
        text = re.sub(r"\s\s+", " ", _normalize(text, self.lowercase, self.strip_accents))
        if self.within_words:
            return [gram for word in text.split() for gram in self._ngrams_of(f" {word} ")]
        shortest, longest = self.ngrams
        return [gram for n in range(shortest, longest + 1) for gram in character_ngrams(text, n)]

    def _ngrams_of(self, word: str) -> list[str]:
        """The n-grams of a word with its spaces; a word shorter than n counts once, as it is."""
        shortest, longest = self.ngrams
        longest = max(shortest, min(longest, len(word)))
        grams = (character_ngrams(word, n) or [word] for n in range(shortest, longest + 1))
        return [gram for ngrams in grams for gram in ngrams]


def character_ngrams(word: str, n: int) -> list[str]:
    """The character n-grams of a word, from left to right; empty if the word is shorter than n.

    FastText adds boundary symbols, so that a prefix differs from the same letters inside a word:
    `character_ngrams(f"<{word}>", 3)` (Bojanowski et al. 2017, section 3.2).

    >>> character_ngrams("apple", 3)
    ['app', 'ppl', 'ple']

    Raises:
      DataError: `n` is not a positive integer.
    """
    [n] = as_integers("character_ngrams", error=DataError, n=n)
    return ["".join(window) for window in _windows(word, n)]


def _windows(items: Sequence[str], n: int) -> list[Sequence[str]]:
    return [items[first : first + n] for first in range(len(items) - n + 1)]


def _normalize(text: str, lowercase: bool, strip_accents: bool) -> str:
    text = text.lower() if lowercase else text
    if strip_accents:
        text = "".join(
            c for c in unicodedata.normalize("NFKD", text) if not unicodedata.combining(c)
        )
    return text


def _range(name: str, ngrams: object) -> tuple[int, int]:
    if not isinstance(ngrams, tuple | list) or len(ngrams) != 2:
        raise DataError(f"{name} expects ngrams=(shortest, longest), but got {ngrams!r}")
    sizes = {f"ngrams[{i}]": size for i, size in enumerate(ngrams)}
    shortest, longest = as_integers(name, error=DataError, **sizes)
    if shortest > longest:
        raise DataError(f"{name} expects ngrams=(shortest, longest), but got {ngrams!r}; swap them")
    return shortest, longest
