"""Mixed precision computes in bfloat16 and keeps the train state in float32."""

import jax
import jax.numpy as jnp
import optax
from clouds import HPARAMS, MODEL, TRAIN, by_rate, run
from helpers import assert_close, spec

from jaxnets import batch_norm, dense, dropout, losses, serial
from jaxnets.training import Batch, make_train_step


def test_activations_are_bfloat16_and_state_and_objective_are_float32():
    hidden, outputs = [], []

    def note(x):
        hidden.append(x.dtype)
        return x

    def loss(logits, y):
        outputs.append(logits.dtype)
        return losses.softmax_cross_entropy(logits, y)

    model = serial(
        *(("fc1", dense(8)), note, ("norm", batch_norm()), note, jnp.tanh),
        *(("drop", dropout(0.2)), note, ("head", dense(3)), note),
    )
    train_step = by_rate(model, loss, compute_dtype=jnp.bfloat16)(HPARAMS)
    before = train_step.init(jax.random.key(0), TRAIN[0][:1])
    hidden.clear()  # the initialization is in float32
    batch = Batch(*TRAIN, jnp.ones(len(TRAIN[0])))
    after, sums = jax.eval_shape(train_step, before, batch)
    assert set(hidden) == {jnp.dtype("bfloat16")} and set(outputs) == {jnp.dtype("float32")}
    assert spec(after) == spec(before)
    kept = before.params, before.model_state, before.opt_state, sums
    assert {leaf.dtype for leaf in jax.tree.leaves(kept)} == {jnp.dtype("float32")}


def test_it_trains_almost_like_float32():
    def trained_params(compute_dtype):
        return run(by_rate(MODEL, compute_dtype=compute_dtype)).train_state.params

    coarse, fine = trained_params(jnp.bfloat16), trained_params(None)
    assert_close(coarse["head"], fine["head"], 0.05)
    assert (coarse["head"]["kernel"] != fine["head"]["kernel"]).all()


def test_the_penalty_is_of_the_float32_params():
    """1 + 2^-12 is 1 in bfloat16, so that its penalty would be 0."""
    seen = []

    def penalty(params):
        seen.append(params["kernel"].dtype)
        return 0.5 * jnp.square(params["kernel"] - 1).sum()

    model = dense(1, use_bias=False, kernel_init=lambda *_: jnp.full((1, 1), 1 + 2.0**-12))
    train_step = make_train_step(
        *(model, optax.sgd(1.0), lambda outputs, y: 0 * outputs[:, 0]),
        penalty=penalty,
        compute_dtype=jnp.bfloat16,
    )
    before = train_step.init(jax.random.key(0), jnp.ones((1, 1)))
    batch = Batch(jnp.ones((1, 1)), jnp.ones((1, 1)), jnp.ones(1))
    after, sums = jax.jit(train_step)(before, batch)
    assert set(seen) == {jnp.dtype("float32")}
    assert sums["objective"] == 2.0**-25
    assert after.params["kernel"] == 1
