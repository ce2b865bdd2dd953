"""Populations: many models trained in one program."""

from jaxnets.training.population.ensemble import average, vote
from jaxnets.training.population.evaluate import evaluate_population, predict_proba_population
from jaxnets.training.population.fit import PopulationResult, fit_population
from jaxnets.training.population.spread import Spread, spread
from jaxnets.training.population.start import start_population

__all__ = [
    "PopulationResult",
    "Spread",
    "average",
    "evaluate_population",
    "fit_population",
    "predict_proba_population",
    "spread",
    "start_population",
    "vote",
]
