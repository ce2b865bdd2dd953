"""Several augmentations as one."""

import jax
from jax import Array

from jaxnets.data.augment.checks import Augment


def chain(*augmentations: Augment) -> Augment:
    """One augmentation after another; the nth one's key is `fold_in(key, n)`.

    Raises:
      TypeError: one of them is no function.
    """
    for number, part in enumerate(augmentations):
        if not callable(part):
            raise TypeError(
                f"chain expects functions (key, x, y) -> (x, y), but got {part!r} at position "
                f"{number}; write augment.flip(), not its name"
            )

    def augment(key: Array, x: Array, y: Array) -> tuple[Array, Array]:
        for number, part in enumerate(augmentations):
            x, y = part(jax.random.fold_in(key, number), x, y)
        return x, y

    return augment
