"""One epoch of 784-500-300-10 on MNIST with PyTorch, eager."""

import gzip
from importlib.util import find_spec
from pathlib import Path

import numpy as np
import torch
from torch import nn

BATCH = 128


def read(name, header):
    """The values of an IDX file."""
    folder = Path(find_spec("jaxnets").origin).parent / "data" / "mnist"
    with gzip.open(folder / f"{name}.gz") as file:
        return np.frombuffer(bytearray(file.read()), np.uint8, offset=header)


def split(name):
    """Images (n, 784), and labels."""
    x = torch.from_numpy(read(f"{name}-images-idx3-ubyte", 16).reshape(-1, 784))
    return x.float() / 255, torch.from_numpy(read(f"{name}-labels-idx1-ubyte", 8)).long()


torch.manual_seed(0)
(x, y), (test_x, test_y) = split("train"), split("t10k")
model = nn.Sequential(
    nn.Linear(784, 500), nn.ReLU(), nn.Linear(500, 300), nn.ReLU(), nn.Linear(300, 10)
)
tx = torch.optim.Adam(model.parameters(), 1e-3, fused=True)
order = torch.randperm(len(x))
for i in range(len(x) // BATCH):
    rows = order[i * BATCH : (i + 1) * BATCH]
    tx.zero_grad()
    loss = nn.functional.cross_entropy(model(x.index_select(0, rows)), y.index_select(0, rows))
    loss.backward()
    tx.step()
    if i + 1 == 16:
        print(16, loss.item(), flush=True)
with torch.no_grad():
    print((model(test_x).argmax(-1) == test_y).float().mean().item())
