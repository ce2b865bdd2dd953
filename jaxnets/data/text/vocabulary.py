"""A vocabulary: maps tokens to indices, and texts to indices or counts."""

import json
from collections import Counter
from collections.abc import Iterable, Iterator
from dataclasses import asdict, dataclass, fields
from functools import cached_property
from pathlib import Path
from typing import Any

import numpy as np
from scipy import sparse

from jaxnets import json_files
from jaxnets.checks import as_integer, as_integers
from jaxnets.data.text.tokenizers import Characters, Tokenizer, Words
from jaxnets.errors import DataError
from jaxnets.files import atomic_write

PADDING, UNKNOWN = 0, 1  # the indices of padding and of unknown tokens
_SPECIAL = 2
WORDS = Words()
_TOKENIZERS: dict[str, type] = {"words": Words, "characters": Characters}


@dataclass(frozen=True)
class Vocabulary:
    """The tokens that have an index: the first of `tokens` has 2, the next 3, and so on.

    Index 0 is padding and 1 is every unknown token, so `len(vocabulary)`, the size of an embedding
    table, is 2 more than the number of tokens.

    Attributes:
      tokens: without repetition, from the most to the least frequent.
      tokenizer: splits a text into tokens.

    Raises:
      DataError: tokens that are not different strings, or a tokenizer that is not a function.
    """

    tokens: tuple[str, ...]
    tokenizer: Tokenizer = WORDS

    def __post_init__(self) -> None:
        """Check the tokens and the tokenizer."""
        _check_tokenizer("Vocabulary", self.tokenizer)
        is_list = isinstance(self.tokens, tuple | list)
        if not is_list or not all(isinstance(token, str) for token in self.tokens):
            tokens = self.tokens if is_list else (self.tokens,)
            got = next(t for t in tokens if not (is_list and isinstance(t, str)))
            raise DataError(
                f"Vocabulary expects tokens as a list of strings, but got {got!r}; see "
                "build_vocabulary"
            )
        if len({*self.tokens}) < len(self.tokens):
            token, _ = Counter(self.tokens).most_common(1)[0]
            raise DataError(
                f"Vocabulary expects different tokens, but got {token!r} twice; drop it"
            )
        object.__setattr__(self, "tokens", tuple(self.tokens))

    def __len__(self) -> int:
        """The number of indices, those of padding and of unknown tokens included."""
        return len(self.tokens) + _SPECIAL

    @cached_property
    def index(self) -> dict[str, int]:
        """The index of each token."""
        return {token: i for i, token in enumerate(self.tokens, start=_SPECIAL)}

    def indices(self, texts: Iterable[str]) -> Iterator[list[int]]:
        """The indices of each text's tokens: one list per text, of the text's own length."""
        for tokens in _tokenize(self.tokenizer, texts):
            yield [self.index.get(token, UNKNOWN) for token in tokens]

    def encode(self, texts: Iterable[str], length: int | None = None) -> np.ndarray:
        """The texts as indices, int32 (n, length): cut at the end, or filled up with padding.

        Without a `length`, that of the longest text.
        """
        encoded = [*self.indices(texts)]
        if length is None:
            length = max(map(len, encoded), default=0)
        else:
            [length] = as_integers("Vocabulary.encode", error=DataError, length=length)
        rows = np.full((len(encoded), length), PADDING, np.int32)
        for row, indices in zip(rows, encoded, strict=True):
            row[: len(indices)] = indices[:length]
        return rows

    def decode(self, indices: Any) -> list[str]:
        """The tokens of one row of indices, without padding; an unknown token is "?".

        Raises:
          DataError: not integers (length,), or an index that the vocabulary does not have.
        """
        row, names = np.asarray(indices), ("", "?", *self.tokens)
        if row.ndim != 1 or (row.size and not np.issubdtype(row.dtype, np.integer)):
            raise DataError(
                f"Vocabulary.decode expects one row of indices, integers (length,), but got "
                f"{row.dtype}{row.shape}; decode the rows of a batch one by one"
            )
        if row.size and not (row.min() >= 0 and row.max() < len(names)):
            wrong = row[(row < 0) | (row >= len(names))][0]
            raise DataError(
                f"Vocabulary.decode expects indices from 0 to {len(names) - 1}, but got {wrong}; "
                "decode with the vocabulary that encoded the text"
            )
        return [names[i] for i in row.tolist() if i != PADDING]

    def count(self, texts: Iterable[str], *, binary: bool = False) -> sparse.csr_array:
        """The count of each token in each text, int64 (n, len(vocabulary)); at most 1 if `binary`.

        Column i counts the token with index i. Unknown tokens are not counted, so the columns of
        padding and of unknown tokens are empty.
        """
        starts, columns, values = [0], [], []
        for indices in self.indices(texts):
            counts = Counter(i for i in indices if i != UNKNOWN)
            columns += sorted(counts)
            values += [1 if binary else counts[i] for i in sorted(counts)]
            starts.append(len(columns))
        shape = (len(starts) - 1, len(self))
        return sparse.csr_array((np.array(values, np.int64), columns, starts), shape=shape)

    def save(self, path: str | Path) -> None:
        """Write the tokens and the tokenizer's options to a JSON file.

        Raises:
          DataError: the tokenizer is not one of this library, so it cannot be written.
        """
        kinds = [kind for kind, cls in _TOKENIZERS.items() if isinstance(self.tokenizer, cls)]
        if not kinds:
            raise DataError(
                f"Vocabulary.save expects the tokenizer to be Words(...) or Characters(...), but "
                f"got {self.tokenizer!r}; keep your function, and save vocabulary.tokens"
            )
        options = asdict(self.tokenizer)  # type: ignore[call-overload]
        content = {"tokenizer": kinds[0], "options": options, "tokens": self.tokens}
        with atomic_write(path) as file:
            file.write(json.dumps(content, ensure_ascii=False).encode())

    @staticmethod
    def load(path: str | Path) -> "Vocabulary":
        """Read a file that `save` wrote.

        Raises:
          JSONError: the file cannot be read or is damaged.
        """
        cure = "save the vocabulary again"
        content = json_files.read(path, cure=cure)
        with json_files.as_json_errors(path, cure):
            tokenizer = _TOKENIZERS[content["tokenizer"]]
            names = {field.name for field in fields(tokenizer)}
            if content["options"].keys() != names:
                raise ValueError(f"expected the options {sorted(names)}")
            return Vocabulary(content["tokens"], tokenizer(**content["options"]))


def build_vocabulary(
    texts: Iterable[str],
    size: int | None = None,
    *,
    tokenizer: Tokenizer = WORDS,
    min_documents: int | float = 1,
    max_documents: int | float = 1.0,
) -> Vocabulary:
    """The vocabulary of the most frequent tokens of the training texts.

    Args:
      texts: the training texts; tokens that only other texts have stay unknown.
      size: `len(vocabulary)` at most, so at most `size - 2` tokens; None keeps all. Of two equally
        frequent tokens, the alphabetically first comes first.
      tokenizer: splits a text into tokens.
      min_documents: the fewest texts that a token occurs in: a number or, as a float, a share.
      max_documents: the most texts that a token occurs in, likewise.

    Raises:
      DataError: `texts` is not a list of strings, the tokenizer is not a function that returns
        strings, or no token is left.
    """
    name = "build_vocabulary"
    _check_tokenizer(name, tokenizer)
    tokens_of = [*_tokenize(tokenizer, texts)]
    if size is not None:
        [size] = as_integers(name, error=DataError, at_least=_SPECIAL + 1, size=size)
    low = _documents(name, "min_documents", min_documents, len(tokens_of))
    high = _documents(name, "max_documents", max_documents, len(tokens_of))
    frequency = Counter(token for tokens in tokens_of for token in tokens)
    documents = Counter(token for tokens in tokens_of for token in {*tokens})
    kept = [token for token in frequency if low <= documents[token] <= high]
    kept.sort(key=lambda token: (-frequency[token], token))
    if not kept:
        raise DataError(
            f"{name} expects a token that occurs in {low:g} to {high:g} of the {len(tokens_of)} "
            "texts, but got none; lower min_documents, raise max_documents, or try another "
            "tokenizer"
        )
    return Vocabulary(tuple(kept[: None if size is None else size - _SPECIAL]), tokenizer)


def _documents(where: str, name: str, value: Any, n: int) -> float:
    """A number of texts, from a number or from a share of all `n`."""
    if (number := as_integer(value)) is not None and number >= 0:
        return number
    if isinstance(value, float) and 0 <= value <= 1:
        return value * n
    raise DataError(
        f"{where} expects {name} as a number of texts or a share from 0.0 to 1.0, but got {value!r}"
    )


def _check_tokenizer(where: str, tokenizer: Any) -> None:
    if not callable(tokenizer):
        raise DataError(
            f"{where} expects a tokenizer that is a function of a text, but got {tokenizer!r}; "
            "write text.Words() or str.split"
        )


def _tokenize(tokenizer: Tokenizer, texts: Iterable[str]) -> Iterator[list[str]]:
    if isinstance(texts, str | bytes) or not isinstance(texts, Iterable):
        cure = "write [text]" if isinstance(texts, str) else "pass strings"
        raise DataError(f"expected a list of texts, but got one {type(texts).__name__}; {cure}")
    for row, text in enumerate(texts):
        if not isinstance(text, str):
            raise DataError(
                f"expected texts as strings, but text {row} is a {type(text).__name__}; drop it "
                "or convert it"
            )
        yield tokenizer(text)
