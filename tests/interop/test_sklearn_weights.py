"""Sample and class weights have the effect that they have in scikit-learn's models."""

import numpy as np
import pytest
from sklearn.base import clone
from sklearn.datasets import load_digits
from sklearn.linear_model import LogisticRegression, Ridge
from sklearn.metrics import accuracy_score, log_loss
from sklearn.model_selection import cross_val_score, train_test_split
from sklearn.preprocessing import StandardScaler
from sklearn.utils.class_weight import compute_sample_weight

from jaxnets.interop.sklearn import JaxnetsClassifier, JaxnetsRegressor

PIXELS, DIGITS = load_digits(return_X_y=True)
X, Y = PIXELS[:300] / 16, DIGITS[:300]
SCALED = StandardScaler().fit_transform(X[:, 20:24])
REAL = X @ np.random.default_rng(2).normal(size=(64, 2)) / 8
WEIGHTS = np.random.default_rng(0).integers(0, 4, 300).astype(float)
small = JaxnetsClassifier(
    (16,), learning_rate_init=0.01, batch_size=50, max_iter=20, random_state=0
)
full_batch = {"learning_rate_init": 0.2, "batch_size": 2000, "max_iter": 200, "random_state": 0}


def test_weights_are_those_of_logistic_regression():
    y = Y % 3
    ours = JaxnetsClassifier((), alpha=3, **full_batch).fit(SCALED, y, sample_weight=WEIGHTS)
    theirs = LogisticRegression(C=1 / 3, tol=1e-8).fit(SCALED, y, sample_weight=WEIGHTS)
    plain = LogisticRegression(C=1 / 3, tol=1e-8).fit(SCALED, y).predict_proba(SCALED)
    np.testing.assert_allclose(ours.predict_proba(SCALED), theirs.predict_proba(SCALED), atol=1e-3)
    assert abs(ours.predict_proba(SCALED) - plain).max() > 0.01


def test_weights_are_those_of_ridge_regression():
    ours = JaxnetsRegressor((), alpha=20, **full_batch).fit(SCALED, REAL, sample_weight=WEIGHTS)
    theirs = Ridge(alpha=20).fit(SCALED, REAL, sample_weight=WEIGHTS).predict(SCALED)
    plain = Ridge(alpha=20).fit(SCALED, REAL).predict(SCALED)
    np.testing.assert_allclose(ours.predict(SCALED), theirs, atol=1e-3)
    assert abs(ours.predict(SCALED) - plain).max() > 0.01


@pytest.mark.parametrize("class_weight", ["balanced", {0: 5, 2: 0.5}], ids=str)
def test_class_weights_are_those_of_logistic_regression(class_weight):
    y = np.minimum(Y, 2)
    ours = JaxnetsClassifier((), alpha=3, class_weight=class_weight, **full_batch).fit(SCALED, y)
    theirs = LogisticRegression(C=1 / 3, tol=1e-8, class_weight=class_weight).fit(SCALED, y)
    plain = LogisticRegression(C=1 / 3, tol=1e-8).fit(SCALED, y).predict_proba(SCALED)
    np.testing.assert_allclose(ours.predict_proba(SCALED), theirs.predict_proba(SCALED), atol=1e-3)
    assert abs(ours.predict_proba(SCALED) - plain).max() > 0.1


@pytest.mark.parametrize(
    ("estimator", "y"), [(JaxnetsClassifier, Y), (JaxnetsRegressor, REAL)], ids=["class", "real"]
)
def test_in_a_full_batch_a_weight_of_2_repeats_a_row_and_0_removes_it(estimator, y):
    weights = np.where(Y < 5, 2, np.where(Y == 9, 0, 1))
    settings = {"alpha": 10, "learning_rate_init": 0.01, "batch_size": 2000, "max_iter": 10}
    network = estimator((16,), random_state=0, **settings)
    weighted = clone(network).fit(X, y, sample_weight=weights)
    repeated = X.repeat(weights, axis=0), y.repeat(weights, axis=0)
    if estimator is JaxnetsClassifier:  # the class whose weight is 0 is one of the outputs
        for _ in range(10):
            network.partial_fit(*repeated, classes=range(10))
    else:
        network.fit(*repeated)
    np.testing.assert_allclose(weighted.loss_curve_, network.loss_curve_, rtol=1e-5)
    np.testing.assert_allclose(weighted._outputs(X), network._outputs(X), atol=1e-4)


@pytest.mark.parametrize(
    ("estimator", "y"), [(JaxnetsClassifier, Y), (JaxnetsRegressor, REAL)], ids=["class", "real"]
)
def test_weights_of_1_equal_no_weights_up_to_rounding(estimator, y):
    network = estimator((16,), learning_rate_init=0.01, batch_size=70, max_iter=3, random_state=0)
    plain = clone(network).fit(X, y)
    ones = clone(network).fit(X, y, sample_weight=np.ones(300))
    np.testing.assert_allclose(ones.loss_curve_, plain.loss_curve_, rtol=1e-5)
    np.testing.assert_allclose(ones._outputs(X), plain._outputs(X), atol=1e-4)


def test_balanced_class_weights_are_equivalent_to_row_weights():
    y = np.minimum(Y, 2)
    balanced = clone(small).set_params(class_weight="balanced").fit(X, y)
    weights = compute_sample_weight("balanced", y)
    weighted = clone(small).fit(X, y, sample_weight=weights)
    np.testing.assert_array_equal(balanced.predict_proba(X), weighted.predict_proba(X))
    assert balanced.loss_curve_ == weighted.loss_curve_


def test_the_weights_of_rows_and_of_classes_are_multiplied():
    names = np.array(list("abcdefghij"))[Y]
    classes = {"b": 3, "g": 0}
    both = clone(small).set_params(class_weight=classes).fit(X, names, sample_weight=WEIGHTS)
    products = WEIGHTS * np.select([names == "b", names == "g"], [3, 0], 1)
    weighted = clone(small).fit(X, names, sample_weight=products)
    np.testing.assert_array_equal(both.predict_proba(X), weighted.predict_proba(X))


def test_partial_fits_on_the_same_weighted_rows_equal_epochs_of_one_fit():
    weighted = clone(small).set_params(class_weight={3: 2}, max_iter=3)
    passes = clone(weighted)
    weighted.fit(X, Y, sample_weight=WEIGHTS)
    for _ in range(3):
        passes.partial_fit(X, Y, range(10), WEIGHTS)
    assert passes.loss_curve_ == weighted.loss_curve_
    np.testing.assert_array_equal(passes.predict_proba(X), weighted.predict_proba(X))


def test_partial_fit_accepts_weights_of_absent_classes():
    weighted = clone(small).set_params(class_weight={3: 2, 9: 5})
    weighted.partial_fit(X[Y < 5], Y[Y < 5], classes=range(10))
    by_row = clone(small).partial_fit(
        X[Y < 5], Y[Y < 5], classes=range(10), sample_weight=1 + (Y[Y < 5] == 3)
    )
    np.testing.assert_array_equal(weighted.predict_proba(X), by_row.predict_proba(X))


def test_partial_fit_of_a_regressor_uses_weights():
    network = JaxnetsRegressor((8,), learning_rate_init=1e-12, random_state=0)
    network.partial_fit(X, REAL, WEIGHTS)
    errors = ((network.predict(X) - REAL) ** 2).sum(1) / 2
    assert network.loss_curve_ == [pytest.approx(np.average(errors, weights=WEIGHTS), rel=1e-4)]


def test_held_out_rows_are_weighted():
    stopping = {"early_stopping": True, "n_iter_no_change": 3, "max_iter": 20}
    estimator = clone(small).set_params(**stopping).fit(X, Y, sample_weight=WEIGHTS)
    _, held_x, _, held_y, _, weights = train_test_split(
        X, Y, WEIGHTS, test_size=0.1, random_state=np.random.RandomState(0), stratify=Y
    )
    expected = log_loss(held_y, estimator.predict_proba(held_x), sample_weight=weights)
    held = [progress.validation["loss"] for progress in estimator.history_]
    assert min(held) == pytest.approx(expected, rel=1e-4)


def test_the_accuracy_reported_is_weighted():
    still = clone(small).set_params(learning_rate_init=1e-12, max_iter=1)
    still.fit(X, Y, sample_weight=WEIGHTS)
    expected = accuracy_score(Y, still.predict(X), sample_weight=WEIGHTS)
    assert still.history_[-1].train["accuracy"] == pytest.approx(expected, rel=1e-5)


def test_weights_pass_through_cross_validation():
    heavy = np.where(Y == 3, 1e-6, 1.0)  # a weight so small that class 3 is never predicted
    scores = cross_val_score(
        clone(small), X, Y == 3, cv=3, scoring="recall", params={"sample_weight": heavy}
    )
    assert (scores == 0).all()


@pytest.mark.parametrize(
    ("weights", "message"),
    [
        (np.where(Y == 3, -1, 1), "at least 0, but got -1.0 in row 3"),
        (np.zeros(300), "at least one non-zero|a weight above 0"),
        (np.ones(299), "shape"),
        (np.full(300, np.nan), "NaN"),
    ],
)
def test_invalid_weights_are_refused(weights, message):
    for estimator in (clone(small), JaxnetsRegressor()):
        with pytest.raises(ValueError, match=message):
            estimator.fit(X, Y, sample_weight=weights)
        with pytest.raises(ValueError, match=message):
            options = {"classes": range(10)} if estimator.__sklearn_tags__().classifier_tags else {}
            estimator.partial_fit(X, Y, sample_weight=weights, **options)


def test_held_out_rows_with_only_weights_of_0_are_refused():
    _, _, _, _, _, held = train_test_split(
        X, Y, np.arange(300), test_size=0.1, random_state=np.random.RandomState(0), stratify=Y
    )
    weights = np.ones(300)
    weights[held] = 0
    with pytest.raises(
        ValueError, match="a held-out row with a weight above 0, but got none in 30"
    ):
        clone(small).set_params(early_stopping=True).fit(X, Y, sample_weight=weights)


def test_invalid_class_weights_are_refused():
    for wrong in ("heavy", [1, 2]):
        with pytest.raises(ValueError, match="'class_weight' parameter of JaxnetsClassifier"):
            clone(small).set_params(class_weight=wrong).fit(X, Y)
    with pytest.raises(ValueError, match=r"at least 0, but got -2.0 in row 3"):
        clone(small).set_params(class_weight={3: -2}).fit(X, Y)
    with pytest.raises(ValueError, match="cannot balance the classes"):
        clone(small).set_params(class_weight="balanced").partial_fit(X, Y, range(10))
