"""Results that several laws of one case share, each computed once."""

import re
from functools import cache, lru_cache, partial

import jax

of_one_case = lru_cache(4)  # its laws run one after another


@of_one_case
def initial(case):
    return case.layer.init(jax.random.key(0), case.x)


def start(case):
    """The layer's params, and a state that differs from the initial one."""
    params, state = initial(case)
    return params, jax.tree.map(lambda leaf: leaf + 0.25, state)


@cache
def program(case, train):
    """The operations of `apply`, as text without addresses."""
    variables = jax.eval_shape(case.layer.init, jax.random.key(0), case.x)
    apply = partial(case.layer.apply, key=jax.random.key(0), train=train)
    return re.sub(" at 0x[0-9a-f]+", "", str(jax.make_jaxpr(apply)(*variables, case.x)))


def draws(case):
    """Whether the layer draws random numbers in training."""
    return "random_bits" in program(case, True)


def modes(case):
    """The values of `train` with different programs."""
    return [False] if program(case, False) == program(case, True) else [False, True]


def in_all_modes(layer, case):
    """The layer's compiled outputs and states in evaluation and, if that differs, in training."""
    return jax.jit(
        lambda params, state, x: [
            layer.apply(params, state, x, key=jax.random.key(0), train=train)
            for train in modes(case)
        ]
    )


@of_one_case
def compiled(case):
    return in_all_modes(case.layer, case)


@of_one_case
def eager(case, train):
    """The output and the state, computed operation by operation; in evaluation without a key."""
    key = {"key": jax.random.key(0)} if train else {}
    return case.layer.apply(*start(case), case.x, **key, train=train)
