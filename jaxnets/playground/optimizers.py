"""The optimizers of the page: optax's that take a learning rate, except deprecated ones."""

import optax

# By name: the function of optax, and its arguments besides the learning rate.
OPTIMIZERS: dict[str, tuple[str, dict[str, float]]] = {
    "sgd": ("sgd", {}),
    "momentum": ("sgd", {"momentum": 0.9}),
} | {
    name: (name, {})
    for name in (
        *("adabelief", "adadelta", "adafactor", "adagrad", "adam", "adamax", "adamaxw", "adamw"),
        *("adan", "amsgrad", "fromage", "lamb", "lars", "lbfgs", "lion", "nadam", "nadamw"),
        *("noisy_sgd", "novograd", "optimistic_adam_v2", "optimistic_gradient_descent"),
        *("polyak_sgd", "radam", "rmsprop", "rprop", "sign_sgd", "signum", "sm3", "yogi"),
    )
    if hasattr(optax, name)
}
OPTIMIZERS |= {"noisy_sgd": ("noisy_sgd", {"key": 0}), "sm3": ("sm3", {"momentum": 0.9})}

# The elementwise ones, which can update the stacked arrays of all layers as single arrays.
ELEMENTWISE = {
    *("sgd", "momentum", "adabelief", "adadelta", "adagrad", "adam", "adamax", "adamaxw", "adamw"),
    *("adan", "amsgrad", "lion", "nadam", "nadamw", "optimistic_adam_v2"),
    *("optimistic_gradient_descent", "radam", "rmsprop", "rprop", "sign_sgd", "signum", "yogi"),
}


def make_optimizer(name: str, rate: object) -> optax.GradientTransformation:
    """The optimizer of this name; its learning rate may be traced."""
    function, arguments = OPTIMIZERS[name]
    return getattr(optax, function)(rate, **arguments)


def call(name: str, rate: float) -> str:
    """The Python expression of `make_optimizer(name, rate)`."""
    function, arguments = OPTIMIZERS[name]
    rest = "".join(f", {key}={value!r}" for key, value in arguments.items())
    return f"optax.{function}({rate!r}{rest})"
