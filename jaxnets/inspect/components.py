"""Principal component analysis."""

from typing import Any, NamedTuple

import numpy as np

from jaxnets.errors import LayerError


class Components(NamedTuple):
    """Examples in the coordinates of largest variance.

    Attributes:
      points: (examples, components), the coordinates.
      axes: (components, features), orthonormal; the largest entry of each is positive.
      share: (components,), the fraction of the total variance along each axis.
    """

    points: np.ndarray
    axes: np.ndarray
    share: np.ndarray


def principal_components(x: Any, components: int = 2) -> Components:
    """The principal components of x (examples, ...), such as a layer's outputs for a batch.

    Computed by singular value decomposition in float64, about the mean. Source: Pearson 1901.

    Raises:
      LayerError: more components than examples or features.
    """
    x = np.asarray(x, np.float64).reshape(len(x), -1)
    if not 1 <= components <= min(x.shape):
        raise LayerError(
            f"principal_components expects 1 to {min(x.shape)} components of {len(x)} examples "
            f"with {x.shape[1]} features, but got {components}"
        )
    x = x - x.mean(0)
    _, sizes, axes = np.linalg.svd(x, full_matrices=False)
    axes = axes[:components]
    largest = np.take_along_axis(axes, np.abs(axes).argmax(1)[:, None], 1)
    axes = axes * np.sign(largest)  # the sign of an axis is arbitrary
    variance = np.square(sizes)
    return Components(x @ axes.T, axes, variance[:components] / max(variance.sum(), 1e-300))
