"""Every wrong call of `fit` and `make_train_step` is refused in one line before compiling."""

import jax
import jax.numpy as jnp
import numpy as np
import optax
import pytest
from clouds import HPARAMS, MODEL, TRAIN, TRAIN_STEP, sgd
from refusals import COUNT, DICT, NUMBER_THEM, ONE_PAIR, assert_refused

from jaxnets import dense, dropout, losses, metrics, serial
from jaxnets.training import (
    fit,
    make_train_step,
    momentum,
    monitors,
)

X, Y = TRAIN
ROWS = np.arange(64)
KEY = jax.random.key(0)
KEYS = jax.random.split(jax.random.key(1), 2)
CE = losses.softmax_cross_entropy
ACCURACY = {"accuracy": metrics.accuracy}
PARAMS, _ = MODEL.init(jax.random.key(1), X)
BEYOND_32_BITS = np.where(ROWS == 3, 2**40, Y.astype(np.int64))
HUGE = np.where(ROWS[:, None] == 5, 1e300, X.astype(np.float64))
BINARY = (Y > 0).astype(np.float32)[:, None]
WORDS = np.array(["cat", "dog"] * 32)

SGD = optax.sgd(0.1)
LINE = make_train_step(dense(1), optax.sgd(0.1), losses.squared_error)
LOGIT = make_train_step(dense(1), optax.sgd(0.1), losses.binary_cross_entropy, metrics=ACCURACY)


class Unhashable:
    """A custom train step that defines equality but not a hash."""

    def __eq__(self, other):
        return True

    def init(self, key, x):
        return x

    def __call__(self, train_state, batch, hparams):
        return train_state, {}


class Dataset:
    """A map-style dataset of another library."""

    def __len__(self):
        return len(X)

    def __getitem__(self, row):
        return X[row], Y[row]


class Tensor:
    """A tensor of another library that converts to NumPy only with `numpy()`."""

    def numpy(self):
        return X


class Attached(Tensor):
    """A tensor that refuses to become an array, like one of PyTorch that requires a gradient."""

    def __array__(self, *args, **kwargs):
        raise RuntimeError("Can't call numpy() on Tensor that requires grad.\nUse detach.")


def training(train_step=TRAIN_STEP, data=TRAIN, **options):
    sizes = {"key": KEY, "epochs": 1, "batch_size": 12}
    sizes |= {} if hasattr(train_step, "init") else {"hparams": HPARAMS}
    return lambda: fit(train_step, data, **sizes | options)


def making(optimizer=SGD, model=MODEL, loss=CE, **options):
    return lambda: make_train_step(model, optimizer, loss, **options)


WRONG = {
    # what is trained
    "fit a model": (
        training(MODEL),
        "expects a train step, but got a Layer; make one: make_train_step",
    ),
    "fit without hparams": (
        training(hparams=None),
        "a function of the hyperparameters, but hparams is None .*; pass hparams=",
    ),
    "fit with a name of hparams missing": (
        training(hparams={"rate": 1.0}),
        r"reads hparams\['learning_rate'\], but hparams has \['rate'\]; add it",
    ),
    "fit with hparams that nothing reads": (
        training(LINE, hparams=HPARAMS),
        r"does not depend on hparams, but got \['learning_rate'\]; pass a function of them",
    ),
    "fit with one number that nothing reads": (
        training(LINE, hparams=0.1),
        "does not depend on hparams, but got a .*; pass a function of them",
    ),
    "fit a dropout whose hparams are forgotten": (
        training(
            lambda h: make_train_step(serial(dropout(h["p"]), ("h", dense(3))), SGD, CE),
            hparams=None,
        ),
        "hparams is None .*; pass hparams=",
    ),
    "fit an optax function": (training(optax.adam), "adam.* should return a train step"),
    "fit a layer's function": (training(dense, hparams=None), "dense .* hparams is None"),
    "fit what makes no train step": (
        training(lambda hparams: 3),
        "should return a train step, but returned 3; return make_train_step",
    ),
    "fit a list": (training([LINE]), "expects a train step, but got a list; make one"),
    "fit what cannot be hashed": (
        training(Unhashable()),
        "that can be hashed and weakly referenced, .* got a Unhashable; make it a frozen",
    ),
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
    "fit with weights of words": (training(data=(X, Y, WORDS)), "the data weights .* got strings"),
    "fit with weights of NaN": (
        training(data=(X, Y, np.full(64, np.nan))),
        "the data weights as one finite number of at least 0 .*got nan in row 0; a weight of 0",
    ),
    "fit with a column of weights": (
        training(data=(X, Y, np.ones((64, 1)))),
        r"the data weights as one finite number .*got the shape \(64, 1\)",
    ),
    "fit with too few weights": (
        training(data=(X, Y, np.ones(63))),
        "64 inputs and 64 labels and 63 weights; pass one of each",
    ),
    "fit four": (training(data=(X, Y, Y, Y)), "but got a tuple of 4; pass inputs and labels"),
    "fit inputs alone": (
        training(data=X),
        r"data=\(x, y\) or .*, but got an array of shape \(64, 2\)",
    ),
    "fit a generator": (
        training(data=(pair for pair in zip(X, Y, strict=True))),
        r"data=\(x, y\) or a data.Stream, but got an object of type generator; pass data.Stream",
    ),
    "fit a dataset": (training(data=Dataset()), r"type Dataset; pass data.Stream\(dataset\) of a"),
    "fit a validation set": (training(validation=Dataset()), r"expects validation=\(x, y\) or a"),
    "fit a share of validation": (
        training(validation=0.1),
        "write train, validation = .*train_test_split",
    ),
    "fit negative validation weights": (
        training(validation=(X, Y, -Y)),
        "the validation weights as one finite number of at least 0",
    ),
    "fit validation of another width": (
        training(validation=(X[:, :1], Y)),
        r"cannot take the validation inputs \(64, 1\): fc1: dense",
    ),
    "fit validation of another kind": (
        training(validation=(X.astype(int), Y)),
        "got int64 for float32; prepare both in the same way",
    ),
    "fit validation labels of another shape": (
        training(validation=(X, Y[:, None])),
        r"the loss cannot take outputs \(12, 3\) with the validation labels \(12, 1\)",
    ),
    # arrays
    "fit a tensor": (training(data=(Tensor(), Y)), r"object of type Tensor; .*x.numpy\(\)"),
    "fit an attached tensor": (
        training(data=(Attached(), Y)),
        r"Can't call numpy\(\) .*; convert it first: x.detach\(\).cpu\(\).numpy\(\)",
    ),
    "fit words": (training(data=(X, WORDS)), "data labels .* got strings .*" + NUMBER_THEM),
    "fit objects that are words": (training(data=(X, WORDS.astype(object))), NUMBER_THEM),
    "fit objects": (training(data=(X.astype(object), Y)), r"dtype object; .*astype\(np.float32\)"),
    "fit dates": (training(data=(X.astype("M8[s]"), Y)), "got the dtype datetime64"),
    "fit a masked array": (
        training(data=(np.ma.masked_array(X, X > 0), Y)),
        r"whose mask would be lost; fill it first: x.filled\(0\)",
    ),
    "fit ragged rows": (training(data=([[1, 2], [3]], [0, 1])), "give all rows one shape"),
    "fit a number": (training(data=(3.0, 1)), "single number 3.0; pass one row per example"),
    "fit an array without axes": (training(data=(np.array(3.0), Y)), "the single number 3.0"),
    "fit nothing": (training(data=([], [])), "at least one, but got 0 inputs and 0 labels"),
    "fit labels beyond int32": (
        training(data=(X, BEYOND_32_BITS)),
        r"data labels in the range of int32, .* row 3 has 1099511627776 \(int64\); number them",
    ),
    "fit inputs beyond int32": (
        training(data=(np.stack([BEYOND_32_BITS] * 2, 1), Y)),
        "data inputs in the range of int32, .* row 3 has 1099511627776",
    ),
    "fit labels beyond uint32": (
        training(data=(X, Y.astype(np.uint64) + 2**63)),
        r"range of uint32, .* row 0 has 922337203685477580\d \(uint64\)",
    ),
    "fit inputs beyond float32": (
        training(data=(HUGE, Y)),
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
        r"the loss expects binary training labels from -1 to 1, but row \d+ has 9.0",
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
    "fit one callback": (training(callbacks=monitors.loss_spikes()), r"callbacks=\[monitors.loss"),
    "fit a word as report": (training(report="print"), "report as a function"),
    "fit for NaN seconds": (training(chunk_seconds=float("nan")), "finite number .* got nan"),
    "fit from params": (
        training(start=PARAMS),
        "from a train state like that of train_step.init, but got a dict",
    ),
    # parts
    "make metrics of a list": (making(metrics=["accuracy"]), DICT),
    "make a metric of a function": (
        making(metrics={"a": metrics.correct}),
        r"a Metric for 'a', but got the function correct; write metrics.mean\(correct\)",
    ),
    "make a metric of a factory": (making(metrics={"a": metrics.f1}), "call it if it returns"),
    "make a metric of a word": (making(metrics={"a": "accuracy"}), "for 'a', but got 'accuracy'"),
    "make a metric named objective": (making(metrics={"objective": metrics.accuracy}), "rename it"),
    "make an optimizer of an optax function": (
        making(optax.adam),
        r"got the function adam without a call; pass optax.adam\(1e-3\)",
    ),
    "make an optimizer of momentum": (making(momentum), "an optax optimizer, but got"),
    "make an optimizer of hparams": (making(sgd), "got the function sgd; .*write lambda hparams"),
    "make a model of hparams": (making(model=lambda hparams: MODEL), "a Layer, but got the func"),
    "make an optimizer of a word": (making("adam"), r"got 'adam'; pass optax.adam\(1e-3\)"),
    "make an unknown dtype": (
        making(compute_dtype="float8"),
        "'float8'; pass jnp.bfloat16",
    ),
    "make a dtype of integers": (making(compute_dtype=jnp.int8), "a floating-point dtype"),
    "make a dtype of 64 bits": (making(compute_dtype="float64"), "that JAX computes in, but got"),
    "make a penalty of a number": (
        making(penalty=1e-4),
        r"got 0.0001; write lambda params: losses",
    ),
    "make an augmentation of a word": (
        making(augment="flip"),
        "to be a function, .*'flip'",
    ),
    "make a model of a list": (
        lambda: make_train_step([dense(3)], SGD, CE),
        r"got a list; combine layers with serial\(...\)",
    ),
    "make a loss of a metric": (making(loss=metrics.accuracy), "a loss function, but got"),
}


@pytest.mark.parametrize("call, message", WRONG.values(), ids=WRONG)
def test_a_wrong_call_is_refused_in_one_line_before_anything_is_compiled(call, message):
    assert_refused(call, message)
