"""The estimators pass scikit-learn's checks, agree with its models, and compile once per shape."""

import importlib
import os
import pickle
import pickletools
import subprocess
import sys
import warnings

import jax
import numpy as np
import pytest
from sklearn.base import clone
from sklearn.datasets import load_digits
from sklearn.exceptions import ConvergenceWarning
from sklearn.linear_model import LogisticRegression, Ridge
from sklearn.metrics import log_loss
from sklearn.model_selection import GridSearchCV, cross_val_score, train_test_split
from sklearn.neural_network import MLPClassifier
from sklearn.pipeline import make_pipeline
from sklearn.preprocessing import StandardScaler
from sklearn.utils.estimator_checks import check_estimator

from jaxnets import batch_norm, dense, dropout, serial
from jaxnets.interop.sklearn import JaxnetsClassifier, JaxnetsRegressor
from jaxnets.training.programs import _PROGRAMS

PIXELS, DIGITS = load_digits(return_X_y=True)
X, Y = PIXELS[:300] / 16, DIGITS[:300]
small = JaxnetsClassifier(
    (16,), learning_rate_init=0.01, batch_size=50, max_iter=20, random_state=0
)
full_batch = {"learning_rate_init": 0.2, "batch_size": 300, "max_iter": 200, "random_state": 0}


def build(features, outputs):
    """A network with a state and dropout, which a pickle refers to by name."""
    del features
    return serial(
        ("fc", dense(8)), ("norm", batch_norm()), jax.nn.relu, ("drop", dropout(0.2)),
        ("head", dense(outputs)),
    )  # fmt: skip


def build_three(features, outputs):
    del features, outputs
    return serial(("head", dense(3)))


def build_nothing(features, outputs):
    return features, outputs


@pytest.fixture(scope="module")
def fitted():
    return clone(small).fit(X, Y)


@pytest.fixture(scope="module")
def built():
    return clone(small).set_params(build=build, max_iter=3).fit(X, Y)


# These checks require agreement to 1e-7, close to float32's precision of 6e-8.
# test_sklearn_weights.py tests the same property with a float32 tolerance.
EXPECTED = {
    f"check_sample_weight_equivalence_on_{kind}_data": "float32 rounds"
    for kind in ("dense", "sparse")
}


# A linear model and few epochs, at a high rate: the checks train about 200 times.
QUICK = {"hidden_layer_sizes": (), "learning_rate_init": 0.1, "max_iter": 10}


@pytest.mark.slow
@pytest.mark.parametrize(
    "estimator", [JaxnetsClassifier(**QUICK), JaxnetsRegressor(**QUICK)], ids=repr
)
def test_scikit_learns_own_checks_pass(estimator):
    with jax.debug_key_reuse(False):
        results = check_estimator(
            estimator, expected_failed_checks=EXPECTED, on_skip=None, on_fail="raise"
        )
    names = {result["check_name"] for result in results}
    assert len(results) > 40 and {"check_sample_weights_shape", *EXPECTED} <= names
    assert {result["status"] for result in results} <= {"passed", "skipped", "xfail"}
    for result in results:
        if result["status"] == "skipped":
            assert "is not installed" in str(result["exception"]) or (
                "SCIPY_ARRAY_API is not set" in str(result["exception"])
            )


def test_a_grid_over_alpha_compiles_once_for_each_number_of_rows():
    # A unique width, so that no program is cached: folds have 200 rows, and refitting has 300.
    estimator = clone(small).set_params(hidden_layer_sizes=(15,))
    programs = _PROGRAMS[estimator.fit(X[:50], Y[:50])._train_step()]

    def compiled():
        return sum(isinstance(program, jax.stages.Compiled) for program in programs.values())

    alphas = [0.1, 1e-3, 1e-5]
    before = compiled()
    search = GridSearchCV(estimator, {"alpha": alphas}, cv=3).fit(X, Y)
    assert before == 1 and compiled() - before == 2
    assert search.best_params_["alpha"] in alphas
    assert search.best_score_ > 0.85
    assert search.best_estimator_.alpha == search.best_params_["alpha"]


def test_a_pipeline_is_cross_validated():
    pipeline = make_pipeline(StandardScaler(), clone(small))
    assert cross_val_score(pipeline, X, Y, cv=3).mean() > 0.85


def test_digits_are_classified_as_well_as_by_scikit_learns_network():
    pixels, test_pixels, digits, test_digits = train_test_split(
        PIXELS / 16, DIGITS, test_size=597, random_state=0
    )
    settings = {"hidden_layer_sizes": (32,), "max_iter": 30, "learning_rate_init": 0.005}

    def accuracies(estimator):
        return [
            clone(estimator).set_params(random_state=seed).fit(pixels, digits)
            .score(test_pixels, test_digits)
            for seed in range(4)
        ]  # fmt: skip

    with warnings.catch_warnings():
        warnings.simplefilter("ignore", ConvergenceWarning)
        theirs = accuracies(MLPClassifier(**settings))
    ours = accuracies(JaxnetsClassifier(**settings))
    assert abs(np.mean(ours) - np.mean(theirs)) < 0.01


def test_a_network_without_hidden_layers_is_ridge_regression():
    x = np.random.default_rng(0).normal(size=(40, 3))
    y = x @ [[1, -2], [0, 1], [3, 0]] + [1, -1] + np.random.default_rng(1).normal(size=(40, 2))
    ours = JaxnetsRegressor((), alpha=20, **full_batch).fit(x, y)
    np.testing.assert_allclose(ours.predict(x), Ridge(alpha=20).fit(x, y).predict(x), atol=1e-3)


def test_a_network_without_hidden_layers_is_logistic_regression():
    x, y = StandardScaler().fit_transform(X[:, 20:24]), np.array(["one", "two", "three"])[Y % 3]
    ours = JaxnetsClassifier((), alpha=3, **full_batch).fit(x, y)
    theirs = LogisticRegression(C=1 / 3, tol=1e-8).fit(x, y)
    assert ours.classes_.tolist() == theirs.classes_.tolist() == ["one", "three", "two"]
    np.testing.assert_allclose(ours.predict_proba(x), theirs.predict_proba(x), atol=1e-3)
    assert (ours.predict(x) == theirs.predict(x)).mean() > 0.99


def test_partial_fits_on_the_same_rows_equal_epochs_of_one_fit(fitted):
    halfway = clone(small)
    for _ in range(10):
        halfway.partial_fit(X, Y, classes=range(10))
    resumed = pickle.loads(pickle.dumps(halfway))
    for _ in range(10):
        resumed.partial_fit(X, Y)
    assert resumed.n_iter_ == fitted.n_iter_ == 20
    assert halfway.n_iter_ == 10
    assert resumed.loss_curve_ == fitted.loss_curve_
    np.testing.assert_array_equal(resumed.predict_proba(X), fitted.predict_proba(X))


def test_partial_fit_uses_every_row_whatever_the_previous_number_of_rows():
    still = clone(small).set_params(learning_rate_init=1e-12, batch_size=60)
    for passes, rows in enumerate((slice(0, 300), slice(0, 200), slice(100, 300)), start=1):
        still.partial_fit(X[rows], Y[rows], classes=range(10))
        expected = log_loss(Y[rows], still.predict_proba(X[rows]), labels=range(10))
        assert still.loss_curve_[-1] == pytest.approx(expected, rel=1e-5)
        assert len(still.loss_curve_) == still.n_iter_ == passes


def test_early_stopping_keeps_what_was_best_on_the_held_out_rows():
    estimator = clone(small).set_params(
        learning_rate_init=0.1, early_stopping=True, n_iter_no_change=3, max_iter=100
    )
    estimator.fit(X, Y)
    held = [progress.validation["loss"] for progress in estimator.history_]
    assert estimator.n_iter_ == np.argmin(held) + 1 + 3 < 100
    _, held_x, _, held_y = train_test_split(
        X, Y, test_size=0.1, random_state=np.random.RandomState(0), stratify=Y
    )
    assert log_loss(held_y, estimator.predict_proba(held_x)) == pytest.approx(min(held), rel=1e-4)


def test_the_prediction_of_a_row_does_not_depend_on_other_rows(fitted):
    rows = np.concatenate([X, X])
    every = fitted.predict_log_proba(rows)
    for start, stop in ((0, 1), (1, 18), (299, 302), (498, 503), (0, 501)):
        np.testing.assert_array_equal(fitted.predict_log_proba(rows[start:stop]), every[start:stop])


def test_log_probabilities_are_finite_where_probabilities_round_to_0(fitted):
    far = 1e4 * X[:5]
    assert (fitted.predict_proba(far) == 0).any()
    assert np.isfinite(fitted.predict_log_proba(far)).all()
    np.testing.assert_allclose(np.exp(fitted.predict_log_proba(X)), fitted.predict_proba(X))


def test_another_seed_gives_another_network(fitted):
    other = clone(small).set_params(random_state=1).fit(X, Y)
    assert not np.array_equal(other.predict_proba(X), fitted.predict_proba(X))


def test_params_changed_after_fit_apply_to_the_next_fit(fitted):
    changed = pickle.loads(pickle.dumps(fitted)).set_params(hidden_layer_sizes=(3,), build=build)
    np.testing.assert_array_equal(changed.predict(X), fitted.predict(X))


def test_a_pickle_predicts_the_same_in_another_process(built, tmp_path):
    (tmp_path / "pickle").write_bytes(pickle.dumps(built))
    np.save(tmp_path / "x.npy", X)
    program = (
        "import pickle, numpy as np; estimator = pickle.load(open('pickle', 'rb'));"
        "np.save('y.npy', estimator.predict_proba(np.load('x.npy')))"
    )
    environment = os.environ | {"PYTHONPATH": os.pathsep.join(filter(None, sys.path))}
    subprocess.run([sys.executable, "-c", program], cwd=tmp_path, env=environment, check=True)
    np.testing.assert_array_equal(np.load(tmp_path / "y.npy"), built.predict_proba(X))


def test_a_pickle_holds_numpy_arrays_and_the_name_of_its_builder(built):
    parts = {part for _, part, _ in pickletools.genops(pickle.dumps(built))}
    names = {part for part in parts if isinstance(part, str)}
    assert {"build", "numpy"} <= names
    assert not {name for name in names if name.split(".")[0] in ("jax", "jaxlib")}


@pytest.mark.parametrize(
    ("settings", "message"),
    [
        ({"alpha": -1}, "'alpha' parameter of JaxnetsClassifier must be a float in the range"),
        ({"activation": "swish"}, "'activation' parameter .* must be a str among"),
        ({"learning_rate_init": 0}, "'learning_rate_init' parameter"),
        ({"batch_size": 0}, "'batch_size' parameter"),
        ({"max_iter": 1.5}, "'max_iter' parameter"),
        ({"validation_fraction": 1.0}, "'validation_fraction' parameter"),
        ({"n_iter_no_change": 0}, "'n_iter_no_change' parameter"),
        ({"early_stopping": "yes"}, "'early_stopping' parameter"),
        ({"build": "mlp"}, "'build' parameter"),
        ({"hidden_layer_sizes": (8, 0)}, r"positive integers, but got \(8, 0\)"),
        ({"hidden_layer_sizes": [2.5]}, r"positive integers, but got \(2.5,\)"),
        ({"build": build_three}, r"to \(1, 10\), but got one to \(1, 3\)"),
    ],
)
def test_an_invalid_param_is_refused_by_name(settings, message):
    with pytest.raises(ValueError, match=message):
        clone(small).set_params(**settings).fit(X, Y)


def test_a_builder_must_return_a_layer():
    with pytest.raises(TypeError, match=r"build\(64, 10\) must return a Layer, but got \(64, 10\)"):
        clone(small).set_params(build=build_nothing).fit(X, Y)


def test_partial_fit_refuses_classes_that_the_first_call_did_not_have(fitted):
    trained = pickle.loads(pickle.dumps(fitted))
    with pytest.raises(ValueError, match="classes must be passed on the first call"):
        clone(small).partial_fit(X, Y)
    with pytest.raises(ValueError, match=r"but got \[11\] as well"):
        trained.partial_fit(X, np.where(Y == 3, 11, Y))
    with pytest.raises(ValueError, match="expects the classes of its first call"):
        trained.partial_fit(X, Y, classes=range(11))
    with pytest.raises(ValueError, match="set early_stopping=False"):
        trained.set_params(early_stopping=True).partial_fit(X, Y)


def test_a_classifier_refuses_a_single_class():
    with pytest.raises(ValueError, match="two classes or more, but got one class"):
        clone(small).fit(X, np.zeros(len(X)))


def test_without_scikit_learn_the_import_says_how_to_get_it(monkeypatch):
    monkeypatch.setitem(sys.modules, "sklearn.utils.validation", None)
    monkeypatch.delitem(sys.modules, "jaxnets.interop.sklearn")
    with pytest.raises(ImportError, match="pip install -U scikit-learn"):
        importlib.import_module("jaxnets.interop.sklearn")
