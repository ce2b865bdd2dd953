"""Each member of a population is the model trained alone, independent of the others."""

import signal
from functools import partial

import jax
import jax.numpy as jnp
import numpy as np
import optax
import pytest
from clouds import HPARAMS, MODEL, TRAIN, TRAIN_STEP, VALIDATION, by_rate, run
from helpers import assert_close, assert_same, eval_state, eval_step
from refusals import chunks_compiled

from jaxnets import dropout, losses, metrics, models, serial
from jaxnets.training import (
    Checkpoints,
    Interrupted,
    NonFiniteLoss,
    RunError,
    evaluate,
    make_train_step,
)
from jaxnets.training.population import evaluate_population, fit_population, start_population
from jaxnets.training.population import strategy as strategy_module

N = 4
KEYS = jax.random.split(jax.random.key(7), N)
RATES = jnp.array([0.1, 0.05, 0.2, 0.01])


def population(train_step=TRAIN_STEP, keys=KEYS, hparams=None, **options):
    keys = jax.random.clone(keys)
    options = {"epochs": 2, "batch_size": 12, "strategy": "vmap"} | options
    hparams = {"learning_rate": RATES[: len(keys)]} if hparams is None else hparams
    return fit_population(train_step, TRAIN, keys=keys, hparams=hparams, **options)


def member(tree, i):
    return jax.tree.map(lambda leaf: leaf[i], tree)


def alone(i, train_step=TRAIN_STEP, hparams=None, **options):
    hparams = {"learning_rate": RATES} if hparams is None else hparams
    return run(train_step, key=jax.random.clone(KEYS)[i], hparams=member(hparams, i), **options)


STEPS = {  # shared, so that a model alone is compiled once for both strategies
    "sgd": by_rate(MODEL, optimizer=lambda hparams: optax.sgd(hparams["learning_rate"])),
    "adam": by_rate(MODEL, optimizer=lambda hparams: optax.adam(0.01, eps=1e-5)),
}


@pytest.mark.parametrize("strategy", ["vmap", "map"])
@pytest.mark.parametrize("train_step", STEPS.values(), ids=STEPS)
def test_a_member_is_the_model_trained_alone(train_step, strategy):
    fitted = population(train_step, epochs=20, strategy=strategy)  # 100 steps
    for i in (0, N - 1):
        expected = alone(i, train_step, epochs=20).train_state
        for part in ("params", "model_state"):
            got, want = (jax.tree.leaves(getattr(s, part)) for s in (fitted.train_states, expected))
            for a, b in zip(got, want, strict=True):
                assert np.linalg.norm(a[i] - b) < 1e-6 * np.linalg.norm(b)
    assert_same(fitted.train_states.step, np.full(N, 100, np.int32))


def test_history_has_the_metrics_of_each_member():
    fitted = population(validation=VALIDATION)
    expected = alone(1, validation=VALIDATION).history
    for got, want in zip(fitted.history, expected, strict=True):
        for name in ("loss", "accuracy"):
            assert_close(got.train[name][1], want.train[name], 1e-6)
            assert_close(got.validation[name][1], want.validation[name], 1e-6)


def test_members_can_share_batches():
    """With the order of key 0 for all, a member of key 1 differs from the model trained alone."""
    keys = jax.random.clone(KEYS)[jnp.array([0, 0, 1])]
    shared = population(keys=keys, share_batches=True)
    assert_close(member(shared.train_states.params, 0), alone(0).train_state.params, 1e-6)
    other = alone(1, hparams={"learning_rate": jnp.array([0, RATES[2], 0, 0])}).train_state
    kernels = shared.train_states.params["head"]["kernel"][2], other.params["head"]["kernel"]
    drift = np.abs(np.subtract(*kernels)).max()
    assert drift > 1e-3  # its own order gives other params


def test_every_hyperparameter_applies_to_its_member_only():
    plain = metrics.mean(losses.softmax_cross_entropy)

    def train_step(h):
        net = models.mlp((8, 3), activation=jnp.tanh)
        model = serial(("drop", dropout(h["dropout_rate"])), ("net", net))
        decay = optax.add_decayed_weights(h["weight_decay"])
        sgd = optax.chain(decay, optax.sgd(h["learning_rate"], momentum=h["momentum"]))
        smoothed = partial(losses.softmax_cross_entropy, label_smoothing=h["label_smoothing"])
        return make_train_step(model, sgd, smoothed, metrics={"loss": plain})

    rng = np.random.default_rng(0)
    names = ("dropout_rate", "weight_decay", "learning_rate", "momentum", "label_smoothing")
    hparams = {name: jnp.asarray(rng.uniform(0.01, 0.3, N), jnp.float32) for name in names}
    fitted = population(train_step, hparams=hparams)
    for i in (0, 3):
        assert_close(
            member(fitted.train_states.params, i),
            alone(i, train_step, hparams).train_state.params,
            1e-6,
        )
    for name in names:
        changed = hparams | {name: hparams[name].at[0].multiply(2)}
        again = population(train_step, hparams=changed)
        moved = jax.tree.map(
            lambda a, b: np.abs(a - b).reshape(N, -1).max(1) > 1e-6,
            again.train_states.params["net"]["head"],
            fitted.train_states.params["net"]["head"],
        )
        assert moved["kernel"].tolist() == [True, False, False, False], name


def test_a_width_by_mask_is_the_narrower_network():
    """The first rows and columns of its params are those of the narrow network, in training too."""
    tx = optax.adam(0.01, eps=1e-5)

    def masked(hparams):
        model = models.mlp((16, 3), widths=(hparams["width"],))
        return make_train_step(model, tx, losses.softmax_cross_entropy)

    widths = jnp.array([16, 5, 1, 9])
    fitted = population(masked, hparams={"width": widths}, epochs=4)

    def narrow(params, width):
        fc1, head = jax.tree.map(np.asarray, (params["fc1"], params["head"]))
        return {
            "fc1": {"kernel": fc1["kernel"][:, :width], "bias": fc1["bias"][:width]},
            "head": {"kernel": head["kernel"][:width], "bias": head["bias"]},
        }

    train_step = make_train_step(models.mlp((5, 3)), tx, losses.softmax_cross_entropy)
    first = masked({"width": widths[1]}).init(jax.random.clone(KEYS)[1], TRAIN[0][:1])
    params = narrow(first.params, 5)
    start = first._replace(params=params, opt_state=tx.init(params))
    key = jax.random.clone(KEYS)[1]  # for the order
    expected = run(train_step, key=key, start=start, epochs=4).train_state.params
    assert_close(narrow(member(fitted.train_states.params, 1), 5), expected, 1e-5)


def test_a_masked_layer_is_initialized_with_the_scale_of_a_narrow_one():
    layer = models.mlp((256, 64), widths=(16,))
    params, _ = layer.init(jax.random.key(0), jnp.zeros((1, 8)))
    assert abs(float(params["head"]["kernel"].std()) - 1 / np.sqrt(16)) < 0.01


BLOWN = {"learning_rate": RATES.at[2].set(1e30)}


SQUARED = by_rate(
    models.linear(3),
    lambda outputs, y: losses.squared_error(outputs, jax.nn.one_hot(y, 3)),
)


def test_a_member_that_diverges_is_frozen_without_effect_on_the_others():
    reported = []
    options = {"validation": VALIDATION, "report": reported.append}
    fitted = population(SQUARED, hparams=BLOWN, epochs=3, **options)
    healthy = population(SQUARED, epochs=3)
    for i in (0, 1, 3):
        assert_same(member(fitted.train_states.params, i), member(healthy.train_states.params, i))
    with pytest.raises(NonFiniteLoss, match=f"at step {fitted.diverged[2]},"):
        alone(2, SQUARED, BLOWN, epochs=3)
    assert fitted.diverged.tolist() == [-1, -1, fitted.diverged[2], -1]
    frozen = member(fitted.train_states, 2)
    assert all(np.isfinite(leaf).all() for leaf in jax.tree.leaves(frozen.params))
    assert 0 < frozen.step <= fitted.diverged[2]
    for figures in (fitted.history[-1].train, fitted.history[-1].validation):
        assert np.isnan(figures["loss"]).tolist() == [False, False, True, False]
    of_all = fitted.history[-1].validation["loss"]
    assert reported[-1].validation["loss"] == np.median(of_all[~np.isnan(of_all)])


def test_a_population_continues_from_train_states():
    half = population(epochs=1).train_states
    resumed = population(epochs=2, start=half)
    assert_same(resumed.train_states.params, population(epochs=2).train_states.params)
    assert_same(half.step, np.full(N, 5, np.int32))


def reports(fitted):
    """The reports of a population without times, and where its members diverged."""
    return [(p.step, p.train, p.validation) for p in fitted.history], fitted.diverged


def test_an_interrupted_population_resumes_bit_for_bit(tmp_path):
    """One member diverges before the interruption, which is within an epoch."""

    def report(progress):
        if progress.step == 8:
            signal.raise_signal(signal.SIGTERM)

    options = {"hparams": BLOWN, "epochs": 3, "validation": VALIDATION}
    uninterrupted = population(SQUARED, **options)
    with pytest.raises(Interrupted), Checkpoints(tmp_path) as saved:
        population(SQUARED, checkpoints=saved, report=report, chunk_seconds=1e-9, **options)
    assert Checkpoints(tmp_path).latest() == 8
    resumed = population(SQUARED, checkpoints=Checkpoints(tmp_path), resume=True, **options)
    assert_same(resumed.train_states._replace(key=0), uninterrupted.train_states._replace(key=0))
    assert_same(*map(reports, (resumed, uninterrupted)))
    with pytest.raises(RunError, match="share_batches: saved False, given True"):
        population(
            SQUARED, checkpoints=Checkpoints(tmp_path), resume=True, share_batches=True, **options
        )


def test_other_rates_run_in_the_same_program():
    population()
    before = chunks_compiled()
    population(hparams={"learning_rate": np.geomspace(1e-5, 10, N)})
    assert chunks_compiled() == before


def test_the_strategy_is_measured_and_reported():
    assert population(strategy=None).strategy in ("vmap", "map")
    assert population(strategy="map").strategy == "map"


def test_evaluating_a_population_is_evaluating_each_member():
    states = population().train_states
    metrics_by_name = evaluate_population(
        TRAIN_STEP, states, VALIDATION, hparams={"learning_rate": RATES}
    )
    for i in range(N):
        expected = evaluate(TRAIN_STEP, member(states, i), VALIDATION, hparams=HPARAMS)
        assert_close({name: value[i] for name, value in metrics_by_name.items()}, expected, 1e-5)


def test_many_members_are_evaluated_each_on_its_own_rows():
    """XLA once mixed up the rows of 66 or more members, so they are evaluated in groups."""
    layer, n, rng = models.linear(10), 70, np.random.default_rng(0)
    params = {"kernel": rng.normal(size=(n, 5, 10)), "bias": rng.normal(size=(n, 10))}
    params = jax.tree.map(lambda leaf: jnp.asarray(leaf, jnp.float32), {"head": params})
    split = (rng.normal(size=(500, 5)).astype(np.float32), rng.integers(10, size=500))
    named_metrics = {"loss": metrics.mean(losses.softmax_cross_entropy)}
    states = jax.vmap(eval_state)(params)
    metrics_by_name = evaluate_population(eval_step(layer, named_metrics), states, split)["loss"]
    for i in (0, 64, 65, 69):
        expected = evaluate(eval_step(layer, named_metrics), member(states, i), split)["loss"]
        np.testing.assert_allclose(metrics_by_name[i], expected, rtol=1e-5)


@pytest.mark.parametrize(
    ("hparams", "keys", "message"),
    [
        (
            {"learning_rate": RATES[:3]},
            KEYS,
            r"one leading axis.* keys \(4,\).*learning_rate.*\(3,\)",
        ),
        ({"learning_rate": 0.1}, KEYS, r"one leading axis.*learning_rate.* \(\)"),
        ({"learning_rate": RATES[:0]}, jax.random.clone(KEYS)[:0], "at least one member"),
        (
            {"learning_rate": RATES},
            jax.random.clone(KEYS)[0],
            r"keys of shape \(N,\), .* shape \(\)",
        ),
    ],
)
def test_members_that_do_not_match_are_refused(hparams, keys, message):
    with pytest.raises(RunError, match=message):
        population(keys=keys, hparams=hparams)


def test_a_population_too_large_is_refused_with_the_largest_size_that_fits(monkeypatch):
    needed = []
    measure = strategy_module._peak_bytes
    monkeypatch.setattr(
        strategy_module,
        "_peak_bytes",
        lambda *arguments: needed.append(measure(*arguments)) or needed[-1],
    )
    population()
    monkeypatch.setattr(strategy_module, "free_bytes", lambda: needed[0] - 1)
    with pytest.raises(RunError, match=r"4 members need .* GiB.*; 3 members would fit"):
        population()
    population(keys=jax.random.clone(KEYS)[:3])


def test_the_memory_of_a_population_counts_the_copy_at_a_chunks_start():
    hparams = {"learning_rate": RATES}
    run = start_population(
        TRAIN_STEP, TRAIN, keys=jax.random.clone(KEYS), hparams=hparams, batch_size=12
    )
    one, four = (strategy_module._peak_bytes(run, hparams, "vmap", n) for n in (1, N))
    held = sum(leaf[0].size * 4 for leaf in jax.tree.leaves(run.train_state[1:4]))
    assert four - one >= 2 * (N - 1) * held  # in the program, and the copy
