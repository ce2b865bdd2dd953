"""Hyperparameter search: many trials in few programs.

A search samples settings from a space, trains them as populations, and ranks them on validation
data:

    problem = Problem(
        train_step, train, validation, batch_size=128, objective="accuracy",
        smaller_is_better=False)
    space = {"learning_rate": log_uniform(1e-5, 1), "dropout_rate": uniform(0, 0.6)}
    results = hyperband(problem, space, key=jax.random.key(0), epochs=27, path="search.jsonl")
    print(results)
    best = retrain(problem, results.best, key=jax.random.key(0))

Several processes share the trials of one search through Optuna's storage; each of them runs

    results = search(
        problem, space, key=jax.random.key(0), trials=64, epochs=9, storage="study.log")

To let another library choose the settings, such as Optuna, use ask and tell:

    study = optuna.create_study(direction="maximize")
    for generation in range(4):
        trials = [study.ask() for _ in range(16)]
        rates = [trial.suggest_float("learning_rate", 1e-5, 1, log=True) for trial in trials]
        fitted = fit_population(
            train_step, train, keys=jax.random.split(jax.random.key(generation), 16), epochs=3,
            batch_size=128, hparams={"learning_rate": jnp.array(rates)}, validation=validation)
        scores = fitted.history[-1].validation["accuracy"].tolist()
        for trial, score in zip(trials, scores, strict=True):
            study.tell(trial, score)  # a trial that diverged has NaN, which Optuna marks as failed
"""

from jaxnets.training.search.algorithms import (
    grid,
    hyperband,
    random_search,
    retrain,
    successive_halving,
)
from jaxnets.training.search.plots import parallel_coordinates, scores
from jaxnets.training.search.problem import Problem
from jaxnets.training.search.results import Results, Trial
from jaxnets.training.search.shared import search
from jaxnets.training.search.space import Distribution, choice, integers, log_uniform, uniform

__all__ = [
    "Distribution",
    "Problem",
    "Results",
    "Trial",
    "choice",
    "grid",
    "hyperband",
    "integers",
    "log_uniform",
    "parallel_coordinates",
    "random_search",
    "retrain",
    "scores",
    "search",
    "successive_halving",
    "uniform",
]
