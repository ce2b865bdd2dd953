"""Guards that hold in every test."""

import os
import signal

# Before JAX starts its backend: two CPU devices, so that placement is never an accident of one.
os.environ["XLA_FLAGS"] = (
    os.environ.get("XLA_FLAGS", "") + " --xla_force_host_platform_device_count=2"
)

import jax
import pytest
from jaxtyping import install_import_hook

# In a background job, where it is ignored, a test of Ctrl-C would wait for ever.
signal.signal(signal.SIGINT, signal.default_int_handler)
jax.config.update("jax_numpy_rank_promotion", "raise")
jax.config.update("jax_debug_key_reuse", True)
# Annotations are checked where arrays flow; constructors check their arguments themselves.
install_import_hook(
    ["jaxnets.keys", "jaxnets.losses", "jaxnets.lowering", "jaxnets.metrics"], "beartype.beartype"
)


@pytest.fixture
def unoptimised():
    """Optimise nothing: a program that runs once takes longer to compile than to run."""
    jax.config.update("jax_disable_most_optimizations", True)
    yield
    jax.config.update("jax_disable_most_optimizations", False)
