"""Training: a pure step, chunks of steps as one program, and the ordinary loop around them."""

from jaxnets.training import monitors
from jaxnets.training.arguments import RunError
from jaxnets.training.checkpoint import (
    CheckpointError,
    Checkpoints,
    CheckpointWarning,
    Restored,
    ShardedCheckpoints,
)
from jaxnets.training.descent import Trajectory, descend
from jaxnets.training.ema import params_ema
from jaxnets.training.evaluate import evaluate, predict, predict_outputs, predict_proba
from jaxnets.training.fit import Fit, fit
from jaxnets.training.momentum import momentum
from jaxnets.training.rate_finder import RangeTest, find_learning_rate
from jaxnets.training.report import Progress, console, json_lines, together
from jaxnets.training.stops import Interrupted, NonFiniteLoss, SavingFailed
from jaxnets.training.transfer import by_name, in_evaluation, transplant
from jaxnets.training.update import Batch, TrainState, Update, make_update, of_hyper

__all__ = [
    "Batch",
    "CheckpointError",
    "CheckpointWarning",
    "Checkpoints",
    "Fit",
    "Interrupted",
    "NonFiniteLoss",
    "Progress",
    "RangeTest",
    "Restored",
    "RunError",
    "SavingFailed",
    "ShardedCheckpoints",
    "TrainState",
    "Trajectory",
    "Update",
    "by_name",
    "console",
    "descend",
    "evaluate",
    "find_learning_rate",
    "fit",
    "in_evaluation",
    "json_lines",
    "make_update",
    "momentum",
    "monitors",
    "of_hyper",
    "params_ema",
    "predict",
    "predict_outputs",
    "predict_proba",
    "together",
    "transplant",
]
