"""Every wrong call of a training function is refused in one line, before anything is compiled."""

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from clouds import HPARAMS, MODEL, TRAIN, TRAIN_STEP, VALIDATION
from helpers import eval_state, eval_step
from refusals import COUNT, DICT, NUMBER_THEM, ONE_PAIR, assert_refused

from jaxnets import conv, dense, embedding, flatten, metrics, serial
from jaxnets.data import fit_standard, train_test_split
from jaxnets.training import (
    FitResult,
    descend,
    evaluate,
    find_learning_rate,
    fit,
    predict,
    predict_outputs,
    predict_proba,
)
from jaxnets.training.population import (
    evaluate_population,
    fit_population,
    predict_proba_population,
)
from jaxnets.training.search import Problem, grid, log_uniform, random_search, retrain

X, Y = TRAIN
ROWS = np.arange(64)
KEY = jax.random.key(0)
KEYS = jax.random.split(jax.random.key(1), 2)
ACCURACY = {"accuracy": metrics.accuracy}
EVAL_STEP = eval_step(MODEL, ACCURACY)
TRAIN_STATE = TRAIN_STEP(HPARAMS).init(jax.random.key(1), X[:1])
MEMBERS = jax.tree.map(lambda leaf: jnp.stack([leaf, leaf]), TRAIN_STATE)
RATES = {"learning_rate": np.array([0.1, 0.2])}
BEYOND_32_BITS = np.where(ROWS == 3, 2**40, Y.astype(np.int64))
BINARY = (Y > 0).astype(np.float32)[:, None]
WORDS = np.array(["cat", "dog"] * 32)
WEIGHTS = " as one finite number of at least 0 per example, but got -[12].0 in row"


def started(model, *shape, dtype=float):
    """A train step and a train state of the model."""
    train_state = eval_state(*model.init(jax.random.key(1), jnp.zeros((2, *shape), dtype)))
    return eval_step(model, ACCURACY), train_state


LOGIT = started(dense(1), 2)
IMAGES = started(serial(("flat", flatten), ("head", dense(3))), 28, 28)
CNN = started(serial(("conv", conv(2, (3, 3))), ("flat", flatten), ("head", dense(3))), 8, 8, 1)
WORD = started(serial(("embed", embedding(4, 2)), ("flat", flatten)), 3, dtype=int)


def training(train_step=TRAIN_STEP, data=TRAIN, **options):
    sizes = {"key": KEY, "epochs": 1, "batch_size": 12, "hparams": HPARAMS}
    return lambda: fit(train_step, data, **sizes | options)


def population(train_step=TRAIN_STEP, data=TRAIN, **options):
    sizes = {"keys": KEYS, "epochs": 1, "batch_size": 12, "hparams": RATES}
    return lambda: fit_population(train_step, data, **sizes | options)


def evaluating(split=TRAIN, train_step=EVAL_STEP, train_state=TRAIN_STATE, **options):
    return lambda: evaluate(train_step, train_state, split, **options)


def evaluating_population(split=TRAIN, **options):
    return lambda: evaluate_population(EVAL_STEP, MEMBERS, split, **options)


def finding(train_step=TRAIN_STEP, data=TRAIN, start=TRAIN_STATE, **options):
    sizes = {"hparams": HPARAMS, "batch_size": 12, "steps": 6}
    return lambda: find_learning_rate(train_step, start, data, **sizes | options)


def problem(**options):
    parts = {
        "train_step": TRAIN_STEP,
        "train": TRAIN,
        "validation": VALIDATION,
        "batch_size": 12,
        "objective": "accuracy",
        "smaller_is_better": False,
    }
    return Problem(**parts | options)


def searching(space=None, **options):
    space = {"learning_rate": log_uniform(1e-3, 1)} if space is None else space
    sizes = {"key": KEY, "trials": 2, "epochs": 1}
    return lambda: random_search(problem(), space, **sizes | options)


WRONG = {
    # populations
    "train members of a model": (population(MODEL), "expects a train step, but got a Layer"),
    "train members x, y": (
        lambda: fit_population(TRAIN_STEP, X, Y, keys=KEYS, epochs=1, batch_size=8),
        ONE_PAIR,
    ),
    "train members on negative weights": (
        population(data=(X, Y, -Y)),
        "the data weights" + WEIGHTS,
    ),
    "train members validated on negative weights": (
        population(validation=(X, Y, -Y)),
        "the validation weights" + WEIGHTS,
    ),
    "train members of one key": (population(keys=KEY), r"\(N,\), .* shape \(\); jax.random.split"),
    "train members of a grid of keys": (
        population(keys=KEYS.reshape(1, 2)),
        r"the shape \(1, 2\); jax",
    ),
    "train members of the key 0": (
        population(keys=0),
        r"a random key, but got 0; pass jax.random.split\(",
    ),
    "train members beyond int32": (
        population(data=(X, BEYOND_32_BITS)),
        "row 3 has 1099511627776",
    ),
    "train members of words": (population(hparams={"learning_rate": ["a", "b"]}), "got 'a'"),
    "train members that forget hparams": (population(hparams=None), "hparams is None"),
    "train members for half an epoch": (population(epochs=0.5), f"epochs {COUNT} 0.5"),
    "train members by pmap": (population(strategy="pmap"), "got 'pmap'"),
    "train members on labels of 7": (population(data=(X, Y + 7)), "classes 0 to 2"),
    "train members from params": (
        population(start=MEMBERS.params),
        "start from a train state like that of train_step.init, but got a dict",
    ),
    # evaluation
    "evaluate weights": (evaluating((X, Y, -Y)), "the split weights" + WEIGHTS),
    "evaluate x, y": (lambda: evaluate(EVAL_STEP, TRAIN_STATE, X, Y), ONE_PAIR),
    "evaluate x, y and metrics by name": (
        lambda: evaluate(EVAL_STEP, TRAIN_STATE, X, Y, metrics=ACCURACY),
        ONE_PAIR,
    ),
    "evaluate a list of metrics": (evaluating(metrics=["accuracy"]), DICT),
    "evaluate a function": (evaluating(metrics={"a": metrics.correct}), r"metrics.mean\(correct\)"),
    "evaluate by a model": (evaluating(train_step=MODEL), "a train step, but got a Layer"),
    "evaluate params": (
        evaluating(train_state=TRAIN_STATE.params),
        "a TrainState, but got a dict; pass the train_state that fit",
    ),
    "evaluate a result": (
        evaluating(train_state=FitResult(TRAIN_STATE, (), None, 0.0, 0.0, 0.0)),
        "a train state, but got a FitResult; pass its train_state",
    ),
    "evaluate words": (evaluating((X, WORDS)), NUMBER_THEM),
    "evaluate labels beyond int32": (evaluating((X, BEYOND_32_BITS)), "row 3 has 1099511627776"),
    "evaluate blocks of no rows": (evaluating(block_size=0), f"block_size {COUNT} 0"),
    "evaluate a logit on labels of 3": (
        evaluating((X, 3 * BINARY), *LOGIT),
        r"'accuracy' expects binary split labels from -1 to 1, but row \d+ has 3.0",
    ),
    "evaluate one image": (
        evaluating((np.zeros((28, 28)), np.zeros(28, int)), *IMAGES),
        r"refuses inputs \(28, 28\); pass x\[None\]",
    ),
    "evaluate members on negative weights": (
        evaluating_population((X, Y, -Y)),
        "the split weights" + WEIGHTS,
    ),
    "evaluate members on nothing": (evaluating_population((X[:0], Y[:0])), "got 0 inputs"),
    "evaluate members by a list": (evaluating_population(metrics=["accuracy"]), DICT),
    "evaluate members x, y": (
        lambda: evaluate_population(EVAL_STEP, MEMBERS, X, Y),
        ONE_PAIR,
    ),
    "evaluate members by pmap": (evaluating_population(strategy="pmap"), "got 'pmap'"),
    # prediction
    "predict one image": (
        lambda: predict(*IMAGES, np.zeros((28, 28))),
        r"refuses inputs \(28, 28\); pass x\[None\], which it accepts",
    ),
    "predict one image without channels": (
        lambda: predict_proba(*CNN, np.zeros((8, 8))),
        r"pass x\[None, ..., None\]",
    ),
    "predict images without channels": (
        lambda: predict_outputs(*CNN, np.zeros((5, 8, 8))),
        r"pass x\[..., None\]",
    ),
    "predict images of two channels": (
        lambda: predict(*CNN, np.zeros((5, 8, 8, 2))),
        r"expects \(..., 1\) but got \(5, 8, 8, 2\)",
    ),
    "predict by a model": (lambda: predict(MODEL, TRAIN_STATE, X), "make one: make_train_step"),
    "predict by a function of hparams": (
        lambda: predict(TRAIN_STEP, TRAIN_STATE, X),
        "a function of the hyperparameters, but hparams is None .*; pass hparams=",
    ),
    "predict words": (lambda: predict(EVAL_STEP, TRAIN_STATE, WORDS), "got strings"),
    "predict a split": (lambda: predict(EVAL_STEP, TRAIN_STATE, TRAIN), "pass a single array"),
    "predict indices beyond int32": (
        lambda: predict_outputs(*WORD, np.full((2, 3), 2**32)),
        "the inputs in the range of int32, .* row 0 has 4294967296",
    ),
    "predict one row by members": (
        lambda: predict_proba_population(EVAL_STEP, MEMBERS, X[0]),
        r"refuses inputs \(2,\); pass x\[None\]",
    ),
    # the rate finder
    "find a rate of a model": (finding(MODEL), "expects a train step, but got a Layer"),
    "find a rate from params": (
        finding(start=TRAIN_STATE.params),
        "from a train state like .*, but got a dict",
    ),
    "find a rate on negative weights": (finding(data=(X, Y, -Y)), "the data weights" + WEIGHTS),
    "find a rate x, y": (
        lambda: find_learning_rate(TRAIN_STEP, TRAIN_STATE, X, Y, hparams=HPARAMS, batch_size=8),
        ONE_PAIR,
    ),
    "find a rate of half a batch": (finding(batch_size=0.5), f"batch_size {COUNT} 0.5"),
    "find a rate on labels of 7": (finding(data=(X, Y + 7)), "labels must be classes 0 to 2"),
    "find a rate from a word": (
        finding(hparams={"learning_rate": "a"}),
        "a number, but got 'a'",
    ),
    # searches
    "search with negative weights": (
        lambda: problem(train=(X, Y, -Y)),
        "the data weights" + WEIGHTS,
    ),
    "search with negative validation weights": (
        lambda: problem(validation=(X, Y, -Y)),
        "the validation weights" + WEIGHTS,
    ),
    "search without validation": (
        lambda: problem(validation=None),
        "to score the trials, but got None",
    ),
    "search with half a batch": (lambda: problem(batch_size=0.5), f"batch_size {COUNT} 0.5"),
    "search a model": (lambda: problem(train_step=MODEL), "expects a train step, but got a Layer"),
    "search by the key 0": (searching(key=0), "a random key, but got 0"),
    "search half a trial": (searching(trials=0.5), f"trials {COUNT} 0.5"),
    "search a list": (searching({"learning_rate": [0.1]}), r"got \[0.1\]; write \{"),
    "search a grid of numbers": (
        lambda: grid(problem(), [0.1], key=KEY, epochs=1),
        r"distributions by name, but got \[0.1\]",
    ),
    "retrain by the key 0": (
        lambda: retrain(problem(), None, key=0),
        "retrain expects a random key, but got 0",
    ),
    # other functions
    "descend by a word": (
        lambda: descend(lambda x: x**2, 1.0, "sgd", 3),
        r"descend expects an optax optimizer, but got 'sgd'; pass optax",
    ),
    "hold out of weights": (
        lambda: train_test_split((X, Y, Y), 3, seed=0),
        r"split=\(x, y\), but got a tuple of 3; leave the third out",
    ),
    "hold out a share": (
        lambda: train_test_split(TRAIN, 0.1, seed=0),
        "number of rows, but got the fraction 0.1",
    ),
    "scale a split": (lambda: fit_standard(TRAIN), "got a tuple of 2; pass one array alone"),
    "scale words": (lambda: fit_standard(WORDS), "got strings"),
}


@pytest.mark.parametrize("call, message", WRONG.values(), ids=WRONG)
def test_a_wrong_call_is_refused_in_one_line_before_anything_is_compiled(call, message):
    assert_refused(call, message)
