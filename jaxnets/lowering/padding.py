"""Padding as (before, after) pairs, the form that all implementations take."""

from collections.abc import Sequence

from jax import lax

from jaxnets.errors import LayerError

Ints = tuple[int, ...]
Pairs = tuple[tuple[int, int], ...]


def explicit_padding(
    name: str,
    extent: Sequence[int],
    window: Sequence[int],
    strides: Sequence[int],
    padding: str | Sequence[tuple[int, int]],
) -> Pairs:
    """The (before, after) pairs of `padding` for a spatial shape of `extent`.

    Raises:
      LayerError: a window larger than the padded input, or an axis of length 0.
    """
    if padding == "CAUSAL":
        pairs = tuple((w - 1, 0) for w in window)
    elif isinstance(padding, str):
        pairs = lax.padtype_to_pads(tuple(extent), tuple(window), tuple(strides), padding)
    else:
        pairs = padding
    pairs = tuple((int(before), int(after)) for before, after in pairs)
    padded = tuple(n + sum(pair) for n, pair in zip(extent, pairs, strict=True))
    if 0 in extent or any(w > n for w, n in zip(window, padded, strict=True)):
        raise LayerError(
            f"{name} expects an input of at least {tuple(window)} but got {padded} with padding; "
            f'use a smaller window, a larger input, or padding="SAME"'
        )
    return pairs


def dilated(window: Sequence[int], dilation: Sequence[int]) -> Ints:
    """The extent of a window from its first tap to its last."""
    return tuple((n - 1) * d + 1 for n, d in zip(window, dilation, strict=True))


def ceil_padding(
    extent: Sequence[int],
    window: Sequence[int],
    strides: Sequence[int],
    padding: Sequence[tuple[int, int]],
) -> Pairs:
    """The padding, increased at the end of an axis whose last window is partly outside.

    Such a window must start inside the input or in the padding before it.
    """
    pairs = []
    for n, w, s, (before, after) in zip(extent, window, strides, padding, strict=True):
        missing = (w - n - before - after) % s
        start = before + n + after + missing - w
        pairs.append((before, after + missing if start < before + n else after))
    return tuple(pairs)
