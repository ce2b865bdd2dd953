"""Streaming metrics: exact sums over examples, and a value computed from them."""

from jaxnets.metrics.calibration import expected_calibration_error, reliability_diagram
from jaxnets.metrics.classification import (
    accuracy,
    check_labels,
    classes,
    correct,
    label_classes,
    top_k_accuracy,
)
from jaxnets.metrics.confusion import confusion_matrix, f1, precision, recall
from jaxnets.metrics.metric import Metric, mean
from jaxnets.metrics.roc import RocCurve, binned_roc_auc, roc_auc, roc_curve
from jaxnets.metrics.sums import batch_sums, check_label_values

__all__ = [
    "Metric",
    "RocCurve",
    "accuracy",
    "batch_sums",
    "binned_roc_auc",
    "check_label_values",
    "check_labels",
    "classes",
    "confusion_matrix",
    "correct",
    "expected_calibration_error",
    "f1",
    "label_classes",
    "mean",
    "precision",
    "recall",
    "reliability_diagram",
    "roc_auc",
    "roc_curve",
    "top_k_accuracy",
]
