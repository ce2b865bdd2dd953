"""A custom layer whose backward pass is written by hand, checked against finite differences.

python -m experiments.custom_layer

A Torch7 module f(x, w) = y overloads three functions: `updateOutput` returns y, and
`updateGradInput` and `accGradParameters` return the loss's gradients with respect to x and w. Here
they are three pure functions, `jax.custom_vjp` combines them into one differentiable function, and
a `Layer` adds the weights. Runs in seconds on a CPU.
"""

from collections.abc import Callable
from dataclasses import dataclass

import jax
import jax.numpy as jnp
from jax import Array
from jax.nn.initializers import lecun_normal, zeros

from experiments import command_line
from jaxnets import Layer, dense, serial
from jaxnets.inspect import GradientError, check_gradient

Params = dict[str, Array]


@dataclass(frozen=True)
class Config:
    """No options."""


def update_output(params: Params, x: Array) -> Array:
    """The affine map y = x W + b."""
    return x @ params["kernel"] + params["bias"][None]


def update_grad_input(params: Params, x: Array, grad_output: Array) -> Array:
    """The gradient of the loss with respect to x: dL/dx = dL/dy W'."""
    del x
    return grad_output @ params["kernel"].T


def acc_grad_parameters(params: Params, x: Array, grad_output: Array) -> Params:
    """The gradient with respect to W and b, summed over the batch: dL/dW = x' dL/dy."""
    del params
    return {"kernel": x.T @ grad_output, "bias": grad_output.sum(0)}


def wrong_grad_parameters(params: Params, x: Array, grad_output: Array) -> Params:
    """`acc_grad_parameters` with a mistake: the gradient of b is averaged over the batch."""
    correct = acc_grad_parameters(params, x, grad_output)
    return {**correct, "bias": grad_output.mean(0)}


def module(acc_grad_parameters: Callable) -> Callable:
    """The three functions as one differentiable function of `(params, x)`."""
    f = jax.custom_vjp(update_output)

    def forward(params, x):
        return update_output(params, x), (params, x)

    def backward(saved, grad_output):
        params, x = saved
        grad_input = update_grad_input(params, x, grad_output)
        return acc_grad_parameters(params, x, grad_output), grad_input

    f.defvjp(forward, backward)
    return f


def linear(features: int, f: Callable) -> Layer:
    """The function as a layer: (batch, inputs) to (batch, features)."""

    def init(key, x):
        kernel = lecun_normal()(key, (x.shape[-1], features), jnp.float32)
        return {"kernel": kernel, "bias": zeros(key, (features,), jnp.float32)}, {}

    def apply(params, state, x, *, key=None, train=False):
        del key, train
        return f(params, x), state

    return Layer(init, apply)


def check(acc_grad_parameters: Callable) -> float:
    """The largest relative error of the layer's gradient, inside a small network."""
    layer = linear(3, module(acc_grad_parameters))
    model = serial(("custom", layer), jnp.tanh, ("head", dense(2)))
    x = jax.random.normal(jax.random.key(1), (5, 4))
    params, state = model.init(jax.random.key(0), x)
    return check_gradient(model, params, state, x)


def experiment(config: Config) -> None:
    """Check the correct layer, and then one whose backward pass is wrong."""
    del config
    print(f"correct gradient: the largest relative error is {check(acc_grad_parameters):.1e}")
    try:
        check(wrong_grad_parameters)
    except GradientError as error:
        print(f"wrong gradient: {error}")


if __name__ == "__main__":
    command_line.main(experiment, Config)
