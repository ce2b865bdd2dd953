"""Asserts that a wrong call is refused before compiling, and messages that many tests share."""

import pytest
from compilations import compiled

from jaxnets.data import DataError
from jaxnets.errors import LayerError
from jaxnets.training import RunError

ONE_PAIR = r"pass inputs and labels as one pair \(x, y\)"
NUMBER_THEM = r"number the classes: names, y = np.unique\(y, return_inverse=True\)"
COUNT = "to be a positive integer, but got"
DICT = r"metrics as a dict from names to metrics, but got .*; write metrics=\{"

ERRORS = (RunError, DataError, LayerError, TypeError)
# Programs that train or evaluate; converting an array to JAX may compile others.
PROGRAMS = {
    f"jit({name})"
    for name in (
        *("_evaluate_rest", "_values", "member", "run", "chunk", "block_sums", "block_outputs"),
        *("objectives", "copy"),
    )
}


def chunks_compiled():
    """The number of chunk programs that have been compiled."""
    return compiled.count("jit(chunk)")


def assert_refused(call, message):
    """The call raises an error of the library with a one-line message, and compiles nothing."""
    compiled.clear()
    with pytest.raises(ERRORS, match=message) as error:
        call()
    assert type(error.value) in ERRORS
    assert "\n" not in str(error.value)
    assert not PROGRAMS & set(compiled)
