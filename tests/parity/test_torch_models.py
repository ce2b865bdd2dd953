"""The same weights in PyTorch and here: the paper's AlexNet agrees, and its gradients.

It is written in `torch.nn` layer by layer with our names, since torchvision has another variant;
`test_torchvision.py` compares the models that torchvision has.
"""

from collections import OrderedDict

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from helpers import assert_close, normal

from jaxnets import losses, models
from jaxnets.trees import flatten_names

torch = pytest.importorskip("torch", reason="PyTorch is not installed: pip install -e '.[parity]'")
nn = torch.nn

pytestmark = pytest.mark.parity


def chain(*stages):
    return nn.Sequential(OrderedDict(stages))


def alexnet(side, classes):
    # PyTorch divides alpha by the size, where the paper does not.
    norm = nn.LocalResponseNorm(5, alpha=5e-4, beta=0.75, k=2)
    pool = nn.MaxPool2d(3, stride=2)
    return chain(
        *[("conv1", nn.Conv2d(3, 96, 11, stride=4)), ("relu1", nn.ReLU())],
        *[("norm1", norm), ("pool1", pool)],
        *[("conv2", nn.Conv2d(96, 256, 5, padding=2, groups=2)), ("relu2", nn.ReLU())],
        *[("norm2", norm), ("pool2", pool)],
        *[("conv3", nn.Conv2d(256, 384, 3, padding=1)), ("relu3", nn.ReLU())],
        *[("conv4", nn.Conv2d(384, 384, 3, padding=1, groups=2)), ("relu4", nn.ReLU())],
        *[("conv5", nn.Conv2d(384, 256, 3, padding=1, groups=2)), ("relu5", nn.ReLU())],
        *[("pool5", pool), *fully(side * side * 256, classes)],
    )


def fully(features, classes):
    return (
        ("flatten", nn.Flatten()),
        *[("fc6", nn.Linear(features, 4096)), ("relu6", nn.ReLU()), ("drop6", nn.Dropout(0.5))],
        *[("fc7", nn.Linear(4096, 4096)), ("relu7", nn.ReLU()), ("drop7", nn.Dropout(0.5))],
        ("fc8", nn.Linear(4096, classes)),
    )


NAMES = {"kernel": "weight", "scale": "weight", "bias": "bias"}
NAMES |= {"mean": "running_mean", "var": "running_var"}


def in_torch(tree, side):
    """Our arrays with PyTorch's names and order of axes: channels before space."""
    arrays = {}
    for path, leaf in flatten_names(tree).items():
        *module, name = path.split("/")
        leaf = np.asarray(leaf)
        if leaf.ndim == 4:
            leaf = leaf.transpose(3, 2, 0, 1)
        elif module == ["fc6"] and name == "kernel":  # its rows are flattened images
            leaf = leaf.reshape(side, side, -1, leaf.shape[-1]).transpose(3, 2, 0, 1)
            leaf = leaf.reshape(len(leaf), -1)
        elif leaf.ndim == 2:
            leaf = leaf.T
        arrays[".".join([*module, NAMES[name]])] = leaf
    return arrays


def weights(model, x):
    """Initial weights, with random biases, scales and statistics."""
    params, state = jax.jit(model.init)(jax.random.key(0), x)

    def moved(tree):
        leaves, structure = jax.tree.flatten(tree)
        return structure.unflatten(
            leaf + 0.1 * jnp.abs(normal(*leaf.shape, seed=n)) if leaf.ndim == 1 else leaf
            for n, leaf in enumerate(leaves)
        )

    return moved(params), moved(state)


def compare(side, left, scale, classes=10):
    """Our logits and gradients and PyTorch's, by PyTorch's names, for the same weights."""
    model, module = models.alexnet(classes), alexnet(left, classes).eval()
    x, labels = scale * normal(2, side, side, 3), jnp.array([classes - 1, 1])
    params, state = weights(model, x)

    @jax.jit
    def run(params):
        def loss(params):
            logits, _ = model.apply(params, state, x)
            return losses.softmax_cross_entropy(logits, labels).mean(), logits

        return jax.grad(loss, has_aux=True)(params)

    gradients, logits = run(params)
    ours = np.asarray(logits), in_torch(gradients, left)

    tensors = in_torch(params, left) | in_torch(state, left)
    missing, strange = module.load_state_dict(
        {key: torch.tensor(array) for key, array in tensors.items()}, strict=False
    )
    assert not strange and all(key.endswith("num_batches_tracked") for key in missing)
    logits = module(torch.tensor(np.asarray(x)).permute(0, 3, 1, 2))
    nn.functional.cross_entropy(logits, torch.tensor(labels.tolist())).backward()
    gradients = {key: tensor.grad.numpy() for key, tensor in module.named_parameters()}
    return ours, (logits.detach().numpy(), gradients)


def test_logits_agree_to_1e_4_and_gradients_to_1e_3_of_their_largest():
    # Its local response norm has little effect on small inputs.
    (ours, our_gradients), (theirs, their_gradients) = compare(side=99, left=2, scale=60.0)
    assert_close(ours, theirs, 1e-4)
    assert_close(our_gradients, their_gradients, 1e-3)
