"""A context in which every layer traces to XLA's own operations, for export."""

from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

import jax

# JAX keeps its value in the keys of its caches, so that no program traced outside is used inside.
_is_plain = jax.make_user_context(default_value=False)


@contextmanager
def plain_operations() -> Iterator[None]:
    """A context in which layers trace to XLA's own operations, the same for every platform.

    Convolutions, pools and recurrent layers choose their implementation by platform otherwise,
    which other runtimes cannot read:

        with lowering.plain_operations():
            exported = jax.export.export(jax.jit(predict))(spec)

    Values differ by rounding. Only what is traced inside the context is affected.
    """
    with _is_plain(True):
        yield


def needs_plain(x: Any) -> bool:
    """Whether to use XLA's operations for the input: in the context, or for a symbolic size.

    The other implementations are chosen by size, which for a symbolic one is not known.
    """
    return _is_plain.value or not all(isinstance(size, int) for size in x.shape)
