"""ONNX's losses in terms of ours, with its weights and reductions."""

import jax
import numpy as np
from onnx_layout import channels_last

from jaxnets.losses import negative_log_likelihood, softmax_cross_entropy


def cross_entropy(node, scores, labels, weights=None):
    return _reduced(softmax_cross_entropy, node, scores, labels, weights)


def log_likelihood(node, log_probabilities, labels, weights=None):
    return _reduced(negative_log_likelihood, node, np.exp(log_probabilities), labels, weights)


def _reduced(loss, node, outputs, labels, weights):
    ignored = labels == node.get("ignore_index", np.nan)
    labels = np.where(ignored, 0, labels).astype(np.int32)
    weights = np.ones(outputs.shape[1], outputs.dtype) if weights is None else weights
    weights = np.where(ignored, 0, weights[labels])
    losses = weights * np.asarray(jax.jit(loss)(channels_last(outputs), labels))
    if node.get("reduction", b"mean") == b"none":
        return [losses]
    total = losses.sum(dtype=losses.dtype)
    return [total if node["reduction"] == b"sum" else total / weights.sum(dtype=weights.dtype)]
