"""One traced program runs on every platform, with the implementation for that platform."""

import jax
import pytest
from helpers import normal
from jax.export import export

from jaxnets import lowering

PLATFORMS = ["cpu", "cuda", "tpu"]
NONE = ((0, 0), (0, 0))


def convolution(x, kernel):
    return lowering.conv(x, kernel, (1, 1), NONE, (1, 1), 1).sum()


def depthwise(x, kernel):
    return lowering.conv(x, kernel, (1, 1), NONE, (1, 1), x.shape[-1]).sum()


def pool(x):
    return lowering.max_pool(x, (2, 2), (2, 2), NONE, (1, 1)).sum()


images, kernel = normal(2, 4, 4, 3), normal(3, 3, 3, 4)
# XLA's operation for a program, unless another implementation is used.
PROGRAMS = {
    "convolution": (convolution, (images, kernel), "stablehlo.convolution"),
    "gradient of a convolution": (
        jax.grad(convolution, (0, 1)),
        (images, kernel),
        "stablehlo.convolution",
    ),
    "depthwise": (depthwise, (images, normal(3, 3, 1, 6)), "stablehlo.convolution"),
    "pool": (pool, (images,), "stablehlo.reduce_window"),
    "gradient of a pool": (jax.grad(pool), (images,), "stablehlo.select_and_scatter"),
}
over_programs = pytest.mark.parametrize(
    ("program", "inputs", "operation"), PROGRAMS.values(), ids=PROGRAMS
)


@over_programs
def test_accelerators_run_xlas_operation_and_the_cpu_another_one(program, inputs, operation):
    traced = jax.jit(program).trace(*inputs)

    def lowered(platform):
        return traced.lower(lowering_platforms=(platform,)).as_text()

    actual = {platform: operation in lowered(platform) for platform in PLATFORMS}
    assert actual == {"cpu": False, "cuda": True, "tpu": True}


@over_programs
def test_one_program_exports_for_every_platform(program, inputs, operation):
    exported = export(jax.jit(program), platforms=PLATFORMS)(*inputs)
    assert exported.platforms == tuple(PLATFORMS)
    assert operation in exported.mlir_module()
