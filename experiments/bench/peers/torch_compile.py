"""PyTorch with the network and its loss compiled, in the faster of its two memory formats.

Forward and backward pass are compiled by `torch.compile`; Adam is PyTorch's own fused kernel. On a
GPU "reduce-overhead", which replays CUDA graphs, is tried as well as the default mode. On a CPU it
needs a C++ compiler.
"""

from functools import partial

import torch

from experiments.bench.peers.torch import DEVICE, Loop
from experiments.bench.task import Task

NEEDS = ("torch",)

COMPILED = {"compiled": partial(torch.compile, fullgraph=True, dynamic=False)}
ON_GPU = {"CUDA graphs": partial(COMPILED["compiled"], mode="reduce-overhead")}


def make(task: Task) -> Loop:
    """A trainer of the network of the task's case."""
    return Loop(task, COMPILED | (ON_GPU if DEVICE.type == "cuda" else {}))
