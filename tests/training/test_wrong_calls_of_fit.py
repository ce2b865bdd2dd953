"""Every wrong call of `fit` and `make_train_step` is answered in one line, nothing compiled."""

import jax
import jax.numpy as jnp
import numpy as np
import optax
import pytest
from answers import COUNT, DICT, NUMBER_THEM, ONE_PAIR, PAIR, assert_refused
from clouds import HPARAMS, MODEL, TRAIN, TRAIN_STEP, sgd

from jaxnets import dense, dropout, losses, metrics, serial
from jaxnets.training import (
    fit,
    make_train_step,
    momentum,
    monitors,
)
from jaxnets.training.population import (
    fit_population,
)

X, Y = TRAIN
ROWS = np.arange(64)
KEY = jax.random.key(0)
KEYS = jax.random.split(jax.random.key(1), 2)
CE = losses.softmax_cross_entropy
ACCURACY = {"accuracy": metrics.accuracy}
PARAMS, STATE = MODEL.init(jax.random.key(1), X)
RATES = {"learning_rate": np.array([0.1, 0.2])}
BEYOND_32_BITS = np.where(ROWS == 3, 2**40, Y.astype(np.int64))
HUGE = np.where(ROWS[:, None] == 5, 1e300, X.astype(np.float64))
BINARY = (Y > 0).astype(np.float32)[:, None]
WORDS = np.array(["cat", "dog"] * 32)

LINE = make_train_step(dense(1), optax.sgd(0.1), losses.squared_error)
LOGIT = make_train_step(dense(1), optax.sgd(0.1), losses.binary_cross_entropy, metrics=ACCURACY)


class Tensor:
    """What has NumPy's array only behind `numpy()`, as a tensor of another library."""

    def numpy(self):
        return X


class Attached(Tensor):
    """A tensor that refuses to become an array, as PyTorch's does where it has a gradient."""

    def __array__(self, *args, **kwargs):
        raise RuntimeError("Can't call numpy() on Tensor that requires grad.\nUse detach.")


def training(train_step=TRAIN_STEP, train=TRAIN, **options):
    sizes = {"key": KEY, "epochs": 1, "batch_size": 12, "hparams": HPARAMS}
    return lambda: fit(train_step, train, **sizes | options)


def population(train_step=TRAIN_STEP, train=TRAIN, **options):
    sizes = {"keys": KEYS, "epochs": 1, "batch_size": 12, "hparams": RATES}
    return lambda: fit_population(train_step, train, **sizes | options)


def making(tx=sgd, **options):
    return lambda: make_train_step(MODEL, tx, CE, **options)


def made(model=MODEL, tx=None, loss=CE, **options):
    return make_train_step(model, optax.sgd(0.1) if tx is None else tx, loss, **options)


WRONG = {
    # what is trained
    "fit a model": (training(MODEL), "expects an Update, but got Layer; make one: make_train_step"),
    "fit with a hparams forgotten": (training(hparams=None), "hparams is None .*; pass hparams="),
    "fit with a name of hparams missing": (
        training(hparams={"rate": 1.0}),
        r"reads hparams\['learning_rate'\], but hparams has \['rate'\]; add it",
    ),
    "fit a model whose hparams is forgotten": (
        training(
            made(lambda hparams: serial(("d", dropout(hparams["p"])), ("h", dense(3)))),
            hparams=None,
        ),
        "hparams is None .*; pass hparams=",
    ),
    "fit a penalty whose hparams is forgotten": (
        training(
            made(penalty=lambda params, hparams: losses.l2(params, hparams["l2"])), hparams=None
        ),
        "the penalty .* hparams is None .*; pass hparams=",
    ),
    "fit an optax function": (
        training(made(tx=optax.adam), hparams=None),
        r"got adam itself, uncalled; pass optax.adam\(1e-3\)",
    ),
    "fit an optax function with hparams": (training(made(tx=optax.adam)), "adam itself, uncalled"),
    "fit momentum uncalled": (
        training(made(tx=momentum), hparams=None),
        "momentum .* pass hparams=",
    ),
    "fit a layer's function": (training(made(dense), hparams=None), "dense .* hparams is None"),
    "fit what makes no model": (training(made(lambda hparams: 3)), "returned 3; return a Layer"),
    "fit with a string in hparams": (
        training(hparams={"learning_rate": "0.1"}),
        r"hparams\['learning_rate'\] to be a number, but got '0.1'",
    ),
    "fit with hparams beyond 32 bits": (
        training(hparams={"a": 2**40}),
        "32 bits .* got 1099511627776",
    ),
    # splits
    "fit x, y": (
        lambda: fit(TRAIN_STEP, X, Y, key=KEY, epochs=1, batch_size=8, hparams=HPARAMS),
        ONE_PAIR,
    ),
    "fit with weights": (training(train=(X, Y, np.zeros(64))), "train" + PAIR),
    "fit inputs alone": (training(train=X), r"train=\(x, y\), but got an array of shape \(64, 2\)"),
    "fit a share of validation": (
        training(validation=0.1),
        "hold rows out first.*holdout",
    ),
    "fit validation weights": (training(validation=(X, Y, Y)), "validation" + PAIR),
    "fit validation of another width": (
        training(validation=(X[:, :1], Y)),
        r"cannot take the validation inputs \(64, 1\): fc1: dense",
    ),
    "fit validation of another kind": (
        training(validation=(X.astype(int), Y)),
        "got int64 for float32; prepare both in one way",
    ),
    "fit validation labels of another shape": (
        training(validation=(X, Y[:, None])),
        r"the loss cannot take outputs \(12, 3\) with the validation labels \(12, 1\)",
    ),
    # arrays
    "fit a tensor": (training(train=(Tensor(), Y)), r"object of type Tensor; .*x.numpy\(\)"),
    "fit an attached tensor": (
        training(train=(Attached(), Y)),
        r"Can't call numpy\(\) .*; convert it first: x.detach\(\).cpu\(\).numpy\(\)",
    ),
    "fit words": (training(train=(X, WORDS)), "train labels .* got strings .*" + NUMBER_THEM),
    "fit objects that are words": (training(train=(X, WORDS.astype(object))), NUMBER_THEM),
    "fit objects": (training(train=(X.astype(object), Y)), r"dtype object; .*astype\(np.float32\)"),
    "fit dates": (training(train=(X.astype("M8[s]"), Y)), "got the dtype datetime64"),
    "fit a masked array": (
        training(train=(np.ma.masked_array(X, X > 0), Y)),
        r"whose mask would be lost; fill it first: x.filled\(0\)",
    ),
    "fit ragged rows": (training(train=([[1, 2], [3]], [0, 1])), "give all rows one shape"),
    "fit a number": (training(train=(3.0, 1)), "single number 3.0; pass one row per example"),
    "fit an array without axes": (training(train=(np.array(3.0), Y)), "the single number 3.0"),
    "fit nothing": (training(train=([], [])), "at least one, but got 0 inputs and 0 labels"),
    "fit labels beyond int32": (
        training(train=(X, BEYOND_32_BITS)),
        r"train labels in the range of int32, .* row 3 has 1099511627776 \(int64\); number them",
    ),
    "fit inputs beyond int32": (
        training(train=(np.stack([BEYOND_32_BITS] * 2, 1), Y)),
        "train inputs in the range of int32, .* row 3 has 1099511627776",
    ),
    "fit labels beyond uint32": (
        training(train=(X, Y.astype(np.uint64) + 2**63)),
        r"range of uint32, .* row 0 has 922337203685477580\d \(uint64\)",
    ),
    "fit inputs beyond float32": (
        training(train=(HUGE, Y)),
        r"range of float32, .* row 5 has 1e\+300 \(float64\); scale the data",
    ),
    "fit validation beyond float32": (training(validation=(HUGE, Y)), "validation inputs .* row 5"),
    # labels
    "fit labels without an axis": (
        training(LINE, (X, BINARY[:, 0])),
        r"cannot take outputs \(12, 1\) .* labels \(12,\).*; pass y\[:, None\]",
    ),
    "fit a logit on labels of 9": (
        training(LOGIT, (X, 9 * BINARY)),
        r"the loss expects binary train labels from -1 to 1, but row \d+ has 9.0",
    ),
    "validate a logit on labels of -2": (
        training(LOGIT, (X, BINARY), validation=(X, -2 * BINARY)),
        r"binary validation labels from -1 to 1, but row \d+ has -2.0",
    ),
    # keys
    "fit the key 0": (training(key=0), r"a random key, but got 0; pass jax.random.key\(0\)"),
    "fit no key": (training(key=None), "a random key, but got None"),
    "fit numbers for a key": (training(key=np.zeros(3)), r"got float64\[3\]; pass jax.random.key"),
    "fit many keys": (training(key=KEYS), r"single key, but got keys of shape \(2,\); pass keys"),
    # sizes
    "fit half an epoch": (training(epochs=0.5), f"epochs {COUNT} 0.5"),
    "fit no epochs": (training(epochs=np.int64(0)), f"epochs {COUNT} "),
    "fit a true epoch": (training(epochs=True), f"epochs {COUNT} True"),
    "fit a batch of -1": (training(batch_size=-1), f"batch_size {COUNT} -1"),
    "fit a batch of a word": (training(batch_size="12"), f"batch_size {COUNT} '12'"),
    "fit a batch too large": (
        training(batch_size=65),
        "65 for 64 examples; use at most",
    ),
    "fit patience alone": (training(patience=1), r"pass validation=\(x, y\) as well"),
    "fit many devices": (training(devices="2"), f"devices {COUNT} '2'"),
    # the rest
    "fit a folder": (training(checkpoints="run"), r"got 'run'; wrap the folder in Checkpoints"),
    "fit one monitor": (training(callbacks=monitors.loss_spikes()), r"callbacks=\[monitors.loss"),
    "fit a word as report": (training(report="print"), "report as a function"),
    "fit for NaN seconds": (training(chunk_seconds=float("nan")), "finite number .* got nan"),
    "fit from params": (training(start=PARAMS), "start from a TrainState, but got dict"),
    # parts
    "make metrics of a list": (making(metrics=["accuracy"]), DICT),
    "make a metric of a function": (
        making(metrics={"a": metrics.correct}),
        r"a Metric for 'a', but got the function correct; write metrics.mean\(correct\)",
    ),
    "make a metric of a factory": (making(metrics={"a": metrics.f1}), "call it where it makes"),
    "make a metric of a word": (making(metrics={"a": "accuracy"}), "for 'a', but got 'accuracy'"),
    "make a metric named objective": (making(metrics={"objective": metrics.accuracy}), "rename it"),
    "make an optimizer of a word": (making("adam"), r"got 'adam'; pass optax.adam\(1e-3\)"),
    "make a dtype that is none": (
        making(compute_dtype="float8"),
        "'float8'; pass jnp.bfloat16",
    ),
    "make a dtype of integers": (making(compute_dtype=jnp.int8), "a floating-point dtype"),
    "make a dtype of 64 bits": (making(compute_dtype="float64"), "that JAX computes in, but got"),
    "make a penalty of a number": (
        making(penalty=1e-4),
        r"got 0.0001; write lambda params, hparams",
    ),
    "make an augmentation of a word": (
        making(augment="flip"),
        "to be a function, .*'flip'",
    ),
    "make a model of a list": (
        lambda: make_train_step([dense(3)], sgd, CE),
        r"got a list; combine layers with serial\(...\)",
    ),
    "make a loss of a metric": (lambda: made(loss=metrics.accuracy), "a loss function, but got"),
}


@pytest.mark.parametrize("call, message", WRONG.values(), ids=WRONG)
def test_a_wrong_call_is_answered_in_one_line_before_anything_is_compiled(call, message):
    assert_refused(call, message)
