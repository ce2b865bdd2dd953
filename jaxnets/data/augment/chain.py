"""Composition of augmentations."""

import jax
from jax import Array

from jaxnets.data.augment.checks import Augment


def chain(*augmentations: Augment) -> Augment:
    """Applies augmentations in order; the nth one's key is `fold_in(key, n)`.

    Raises:
      TypeError: one of them is not a function.
    """
    for number, augmentation in enumerate(augmentations):
        if not callable(augmentation):
            raise TypeError(
                f"chain expects functions (key, x, y) -> (x, y), but got {augmentation!r} at "
                f"position {number}; write augment.flip(), not its name"
            )

    def augment(key: Array, x: Array, y: Array) -> tuple[Array, Array]:
        for number, augmentation in enumerate(augmentations):
            x, y = augmentation(jax.random.fold_in(key, number), x, y)
        return x, y

    return augment
