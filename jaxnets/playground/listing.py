"""The code of what is on screen: it trains the same networks, with the library alone."""

from jaxnets.playground.optimizers import call
from jaxnets.playground.options import (
    ACTIVATIONS,
    CLASSES,
    DIGITS,
    FEATURES,
    INPUTS,
    POINTS,
    TABLE,
    UNITS,
    Options,
    slots,
)
from jaxnets.playground.points import REGRESSIONS

HEAD = """import jax
import jax.numpy as jnp
import numpy as np
import optax
from jax.nn.initializers import variance_scaling

from jaxnets import batch_norm, dense, dropout, losses, serial
from jaxnets.data import toy
from jaxnets.training import fit, make_train_step
from jaxnets.training.population import fit_population

"""
KERNEL = """

def kernel(inputs, outputs):  # of the first units of a layer, as LeCun; 0 for the others
    def init(key, shape, dtype=jnp.float32):
        scale = shape[0] / np.sum(inputs, dtype=np.float32)
        values = variance_scaling(scale, "fan_in", "truncated_normal")(key, shape, dtype)
        return jnp.where(inputs[:, None] & outputs, values, 0)

    return init


def only(used):  # the other units are 0
    return lambda x: jnp.where(used, x, 0)


"""


def listing(options: Options, steps: int, outputs: int = 1) -> str:
    """A program that trains to the page's `train_state`, or to those of all its seeds.

    Args:
      options: the settings.
      steps: the number of training steps.
      outputs: the network's number of outputs: 1, or the number of classes.
    """
    parts = (_data(options, outputs), KERNEL, _model(options, outputs))
    return HEAD + "".join(parts) + _fit(options, steps, outputs)


def _data(options: Options, outputs: int) -> str:
    arguments = f"noise={options.noise!r}, seed={options.seed}"
    count = str(options.train_count)
    if options.data in DIGITS:
        classes = DIGITS[options.data]
        points = "from jaxnets.playground.points import digits\n\n"
        points += f"x, y = digits({classes}, {options.noise!r}, {options.seed}, {count})\n"
    elif options.data == TABLE:
        count, place = "n", f"{options.table!r}, {options.target!r}, {options.columns!r}"
        arguments += f", task={options.task!r}, share={options.share}"
        points = "from jaxnets.playground.user_table import from_user_table\n\n"
        points += f"x, y, n, classes = from_user_table({place}, {arguments})\n"
    elif options.task == "classification":
        points = f"x, y = toy.{options.data}({POINTS}, {arguments})\n"
    else:
        function = REGRESSIONS[options.data].__name__
        points = f"from jaxnets.playground.points import {function}\n\n"
        points += f"x, y = {function}({options.noise!r}, {options.seed})\n"
    points += "" if slots(options) == INPUTS else _features()
    points += "" if outputs > 1 else "y = y.astype(np.float32)[:, None]\n"
    return points + f"train, test = (x[:{count}], y[:{count}]), (x[{count}:], y[{count}:])\n"


def _features() -> str:
    columns = ", ".join(FEATURES.values())
    return f"x1, x2 = x.T\nx = np.stack([{columns}, 0 * x1], 1)\n"


def _model(options: Options, outputs: int) -> str:
    """The code of the masks and the model: hidden layers of 8 units and a head of 10, masked."""
    used = [int(name in options.features) for name in slots(options)]
    used += [0] * (UNITS - len(used))
    widths = [f"np.arange({UNITS}) < {width}" for width in options.hidden]
    masks = ", ".join([f"np.array({used}, bool)", *widths, f"np.arange({CLASSES}) < {outputs}"])
    lines = ['("features", only(used[0]))']
    lines += [_hidden(options, i) for i in range(1, len(options.hidden) + 1)]
    depth = len(options.hidden)
    lines += [f'("head", dense({CLASSES}, kernel_init=kernel(used[{depth}], used[{depth + 1}])))']
    lines += [f"lambda x: x[:, :{outputs}]"]
    stages = "".join(f"    {line},\n" for line in lines)
    return f"used = [{masks}]\nmodel = serial(\n{stages})\n"


def _hidden(options: Options, i: int) -> str:
    layers = [f'("fc", dense({UNITS}, kernel_init=kernel(used[{i - 1}], used[{i}])))']
    layers += ['("norm", batch_norm())'] if options.batch_norm else []
    layers += [ACTIVATIONS[options.activation]] if ACTIVATIONS[options.activation] else []
    layers += [f"only(used[{i}])"]
    layers += [f'("drop", dropout({options.dropout!r}))'] if options.dropout else []
    return f'("hidden{i}", serial({", ".join(layers)}))'


def _fit(options: Options, steps: int, outputs: int) -> str:
    loss = "losses.softmax_cross_entropy" if outputs > 1 else "losses.binary_cross_entropy"
    loss = "losses.half_squared_error" if options.task == "regression" else loss
    penalty = ""
    if options.penalty != "none":
        function = f"losses.{options.penalty.lower()}"
        penalty = f", penalty=lambda params: {function}(params, {options.penalty_rate!r})"
    optimizer = call(options.optimizer, options.rate)
    step = f"train_step = make_train_step(model, {optimizer}, {loss}{penalty})\n"
    arguments = f"steps={steps}, batch_size={options.batch}"
    if options.seeds == 1:
        key = f"key=jax.random.key({options.seed})"
        return step + f"result = fit(train_step, train, {key}, {arguments})\n"
    seeds = f"np.arange({options.seed}, {options.seed + options.seeds}, dtype=np.uint32)"
    keys = f"keys = jax.vmap(jax.random.key)({seeds})\n"
    return (
        step
        + keys
        + (f'result = fit_population(train_step, train, keys=keys, {arguments}, strategy="vmap")\n')
    )
