"""What the answer to a wrong call is, and the words that many answers share."""

import jax
import pytest

from jaxnets.data import DataError
from jaxnets.errors import LayerError
from jaxnets.training import RunError

ONE_PAIR = r"pass inputs and labels as one pair \(x, y\)"
NUMBER_THEM = r"number the classes: names, y = np.unique\(y, return_inverse=True\)"
COUNT = "to be a positive integer, but got"
DICT = r"metrics as a dict from names to metrics, but got .*; write metrics=\{"

ERRORS = (RunError, DataError, LayerError, TypeError)
# What trains or evaluates; an array that becomes JAX's may compile a conversion.
PROGRAMS = {
    f"jit({name})"
    for name in ("member", "run", "chunk", "block_sums", "block_outputs", "objectives", "copy")
}
compiled = []


def note(event, seconds, **more):
    if "backend_compile" in event:
        compiled.append(more["fun_name"])


jax.monitoring.register_event_duration_secs_listener(note)


def chunks_compiled():
    """How many programs of a chunk have been compiled."""
    return compiled.count("jit(chunk)")


def assert_refused(call, message):
    """The call ends in one line of our own, and no program was compiled for it."""
    compiled.clear()
    with pytest.raises(ERRORS, match=message) as error:
        call()
    assert type(error.value) in ERRORS
    assert "\n" not in str(error.value)
    assert not PROGRAMS & set(compiled)
