"""A loss that is not finite stops the run at its last finite state, with the cause."""

import jax
import jax.numpy as jnp
import numpy as np
import optax
import pytest
from clouds import TRAIN, plain, run
from helpers import assert_close
from jax.nn.initializers import zeros

from jaxnets import dense, losses, serial
from jaxnets.layer import Layer
from jaxnets.training import Checkpoints, NonFiniteLoss, make_train_step


def descending(rate):
    """A weight and a bias that converge to a sum of 1, with a learning-rate schedule."""
    train_step = make_train_step(dense(1, kernel_init=zeros), optax.sgd(rate), losses.squared_error)
    return train_step, (np.ones((60, 1), np.float32), np.ones((60, 1), np.float32))


@pytest.mark.parametrize("chunk_seconds", [1.0, 1e-9])
def test_a_step_that_makes_the_parameters_nan_is_named_and_rolled_back(chunk_seconds):
    broken = descending(lambda step: jnp.where(step == 6, jnp.nan, 0.1))
    with pytest.raises(
        NonFiniteLoss, match="stopped being finite at step 6, first in select_n"
    ) as error:
        run(*broken, chunk_seconds=chunk_seconds)
    assert error.value.step == error.value.train_state.step == 6
    np.testing.assert_allclose(
        error.value.train_state.params["kernel"], [[(1 - 0.6**6) / 2]], rtol=1e-5
    )


def test_a_rate_far_too_large_is_detected_at_the_next_step():
    with pytest.raises(NonFiniteLoss, match=r"at step 1, first in integer_pow .*squared_error"):
        run(*descending(lambda step: 1e30))


def planted(x):
    """Finite until a weight exceeds 0.2, after some steps."""
    return x + jnp.log(0.2 - x).sum() * 0


PLANTED = make_train_step(
    serial(("fc1", dense(1, kernel_init=zeros)), ("bad", planted)),
    optax.sgd(0.01),
    losses.squared_error,
)
ONES = (np.ones((60, 1), np.float32), np.ones((60, 1), np.float32))


def test_a_planted_log_is_named_with_its_step_and_its_layer(tmp_path):
    with pytest.raises(
        NonFiniteLoss, match=r"log of layer 'bad' \(.*test_nonfinite_loss.py"
    ) as error:
        run(PLANTED, ONES, checkpoints=Checkpoints(tmp_path))
    good = error.value.train_state
    assert 0 < error.value.step < 10
    assert all(np.isfinite(leaf).all() for leaf in (good.params["fc1"]["kernel"],))
    # the saved state is the one before that step, so that resuming raises the same error
    assert Checkpoints(tmp_path).latest() == error.value.step
    with pytest.raises(NonFiniteLoss, match=f"at step {error.value.step}, first in log"):
        run(PLANTED, ONES, checkpoints=Checkpoints(tmp_path), resume=True)


def test_a_step_that_is_skipped_changes_nothing_but_the_count():
    """One label is NaN, so one batch per epoch has a NaN loss; the other four update the weight."""
    train_step, (x, y) = descending(0.1)
    y = np.where(np.arange(60)[:, None] == 7, np.float32(np.nan), y)
    skipped = run(train_step, (x, y), on_nonfinite="skip")
    np.testing.assert_allclose(
        skipped.train_state.params["kernel"], [[(1 - 0.6**8) / 2]], rtol=1e-5
    )
    assert [progress.nonfinite for progress in skipped.history] == [1, 2]
    mean = np.mean([0.6 ** (2 * n) for n in range(4)])  # without the skipped step
    np.testing.assert_allclose(skipped.history[0].train["loss"], mean, rtol=1e-5)
    assert skipped.train_state.step == 10


def test_skip_without_non_finite_steps_is_the_same_run():
    plainly, watched = (run(*descending(0.1), on_nonfinite=choice) for choice in ("stop", "skip"))
    assert_close(plain(watched.train_state), plain(plainly.train_state), 1e-6)


def test_ignore_continues_with_nan_and_counts_the_steps():
    broken = descending(lambda step: jnp.where(step == 1, jnp.nan, 0.1))
    ignored = run(*broken, on_nonfinite="ignore")
    assert np.isnan(ignored.train_state.params["kernel"]).all()
    assert ignored.history[-1].nonfinite == 8


def infinite_state(step):
    """SGD whose optimizer state, and nothing else, is infinite after one step."""

    def update(gradient, state, params=None):
        del params
        updates = jax.tree.map(lambda g: -0.1 * g, gradient)
        return updates, (state[0] + 1, jnp.where(state[0] == step, jnp.inf, 0.0))

    return optax.GradientTransformation(lambda params: (jnp.int32(0), jnp.float32(0)), update)


def test_a_step_that_makes_only_the_optimizers_state_infinite_is_skipped():
    train_step, data = descending(0.1)
    train_step = make_train_step(train_step.model, infinite_state(3), train_step.loss)
    skipped = run(train_step, data, on_nonfinite="skip", epochs=1)
    # the state's own count does not advance, so that each later step is infinite as well
    assert skipped.history[-1].nonfinite == 2
    assert skipped.train_state.opt_state == (3, 0.0)
    np.testing.assert_allclose(
        skipped.train_state.params["kernel"], [[(1 - 0.6**3) / 2]], rtol=1e-5
    )


def test_a_step_that_makes_only_a_layers_state_infinite_is_skipped():
    """The state is the reciprocal of the batch's mean, which is infinite for a batch of zeros."""
    layer = Layer(
        lambda key, x: ({"w": jnp.float32(0)}, {"reciprocal": jnp.float32(1)}),
        lambda params, state, x, *, key=None, train=False: (
            x[:, :1] * 0 + params["w"],
            {"reciprocal": 1 / x.mean()} if train else state,
        ),
    )
    train_step = make_train_step(layer, optax.sgd(0.25), losses.squared_error)
    x, y = np.zeros((12, 1), np.float32), np.ones((12, 1), np.float32)
    skipped = run(train_step, (x, y), on_nonfinite="skip", epochs=3)
    assert skipped.history[-1].nonfinite == 3
    assert skipped.train_state.model_state["reciprocal"] == 1
    assert skipped.train_state.params["w"] == 0
    kept = run(train_step, (x + 2, y), on_nonfinite="skip", epochs=1)
    assert kept.train_state.model_state["reciprocal"] == 0.5
    np.testing.assert_allclose(kept.train_state.params["w"], 0.5, rtol=1e-6)


def test_a_data_row_that_is_not_finite_is_named_and_the_learning_rate_is_not():
    train_step, (x, y) = descending(0.1)
    x = np.where(np.arange(60)[:, None] == 7, np.float32(np.inf), x)
    with pytest.raises(NonFiniteLoss, match=r"row 7 of the training inputs holds inf .*: 1 of 60"):
        run(train_step, (x, y))
    y[[8, 9]] = np.nan
    with pytest.raises(NonFiniteLoss) as error:
        run(train_step, (np.ones_like(x), y))
    row = "row 8 of the training labels holds nan (rows that are not finite: 2 of 60)"
    assert row in str(error.value)
    assert "learning rate" not in str(error.value)
    assert "\n" not in str(error.value)


def test_a_skipped_step_uses_up_its_random_key():
    """Dropout uses another key in the next step, since a skipped step counts."""
    x, y = TRAIN
    x = np.where(np.arange(64)[:, None] == 7, np.float32(np.nan), x)
    skipped = run(data=(x, y), on_nonfinite="skip")
    assert 0 < skipped.history[-1].nonfinite <= 2
    assert skipped.train_state.step == 10
    assert all(np.isfinite(leaf).all() for leaf in jax.tree.leaves(skipped.train_state.params))
