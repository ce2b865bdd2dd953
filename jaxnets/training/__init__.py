"""Training: a pure train step, chunks of steps as one compiled program, and the training loop."""

from jaxnets.errors import RunError
from jaxnets.sharding import ShardingPlan
from jaxnets.training import monitors
from jaxnets.training.checkpoint import (
    CheckpointError,
    Checkpoints,
    CheckpointWarning,
    FileStore,
    Restored,
    ShardedStore,
)
from jaxnets.training.descent import Trajectory, descend
from jaxnets.training.ema import params_ema
from jaxnets.training.evaluate import evaluate
from jaxnets.training.exceptions import Interrupted, NonFiniteLoss, PeerLost, SavingFailed
from jaxnets.training.fit import FitResult, fit
from jaxnets.training.momentum import momentum
from jaxnets.training.placement import sharding_report
from jaxnets.training.predict import predict, predict_outputs, predict_proba
from jaxnets.training.rate_finder import RangeTest, find_learning_rate
from jaxnets.training.report import Progress, combine, console, json_lines
from jaxnets.training.run import Run, advance
from jaxnets.training.shards import ShardingReport
from jaxnets.training.sinks import TensorBoard, scalars, tensorboard
from jaxnets.training.start import start_run
from jaxnets.training.train_step import Batch, TrainState, TrainStep, make_train_step
from jaxnets.training.trainable import Trainable
from jaxnets.training.transfer import inference_mode, merge_params, partition_by_name

__all__ = [
    "Batch",
    "CheckpointError",
    "CheckpointWarning",
    "Checkpoints",
    "FileStore",
    "FitResult",
    "Interrupted",
    "NonFiniteLoss",
    "PeerLost",
    "Progress",
    "RangeTest",
    "Restored",
    "Run",
    "RunError",
    "SavingFailed",
    "ShardedStore",
    "ShardingPlan",
    "ShardingReport",
    "TensorBoard",
    "TrainState",
    "TrainStep",
    "Trainable",
    "Trajectory",
    "advance",
    "combine",
    "console",
    "descend",
    "evaluate",
    "find_learning_rate",
    "fit",
    "inference_mode",
    "json_lines",
    "make_train_step",
    "merge_params",
    "momentum",
    "monitors",
    "params_ema",
    "partition_by_name",
    "predict",
    "predict_outputs",
    "predict_proba",
    "scalars",
    "sharding_report",
    "start_run",
    "tensorboard",
]
