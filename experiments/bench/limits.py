"""The operations of a training step, and the peak performance of devices."""

from typing import Any, NamedTuple

import jax
import jax.numpy as jnp

from experiments.bench.cases import CASES
from experiments.bench.peers.ours import model
from jaxnets.inspect import summary


class Peak(NamedTuple):
    """Floating-point operations per second without sparsity, and the source."""

    bfloat16: float
    float32: float | None  # in TF32 where the device has it, which XLA uses
    source: str


# By a substring of `device_kind`; the first match is used.
PEAKS = {
    "H200": Peak(989e12, 495e12, "NVIDIA H200 data sheet, SXM"),
    "H100 PCIe": Peak(756e12, 378e12, "NVIDIA H100 data sheet, PCIe"),
    "H100": Peak(989e12, 495e12, "NVIDIA H100 data sheet, SXM"),
    "A100": Peak(312e12, 156e12, "NVIDIA A100 data sheet"),
    "TPU v4": Peak(275e12, None, "Google Cloud documentation, TPU v4"),
    "TPU v5p": Peak(459e12, None, "Google Cloud documentation, TPU v5p"),
    "TPU v5 lite": Peak(197e12, None, "Google Cloud documentation, TPU v5e"),
    "TPU v5e": Peak(197e12, None, "Google Cloud documentation, TPU v5e"),
    "TPU v5": Peak(459e12, None, "Google Cloud documentation, TPU v5p"),
    "TPU v6 lite": Peak(918e12, None, "Google Cloud documentation, TPU v6e"),
}


def flops_per_step(case: str, batch_size: int) -> int:
    """The FLOPs of a step's matmuls and convolutions, as `inspect.flops` counts them.

    The backward pass costs twice the forward pass: one gradient for each operand. The gradient with
    respect to the images is not needed, so the first layer has only one.
    """
    x = jax.ShapeDtypeStruct((batch_size, *CASES[case].shape), jnp.uint8)
    forward = [row.flops for row in summary(model(case), x).rows if row.flops]
    return 3 * sum(forward) - forward[0]


def datasheet(device_kind: str, dtype: str) -> dict[str, Any] | None:
    """The device's peak in that dtype, "flops_per_second", and its "source", where known."""
    for part, peak in PEAKS.items():
        flops = getattr(peak, dtype)
        if part in device_kind and flops is not None:
            return {"flops_per_second": flops, "source": peak.source}
    return None
