"""An exponential moving average of the parameters, kept by the optimizer."""

from typing import Any, NamedTuple

import optax


class ParamsEma(NamedTuple):
    """What `params_ema` remembers; `optax.tree.get(opt_state, "average")` finds it."""

    average: optax.Params


def params_ema(decay: float) -> optax.GradientTransformation:
    """The last link of an `optax.chain`: passes updates on and averages the params they lead to.

    `average <- decay * average + (1 - decay) * params`, from the first params on (Polyak &
    Juditsky 1992, with exponential weights).
    """

    def init(params: optax.Params) -> ParamsEma:
        return ParamsEma(params)

    def update(
        updates: optax.Updates, state: Any, params: optax.Params | None = None
    ) -> tuple[optax.Updates, ParamsEma]:
        if params is None:
            raise ValueError(
                "params_ema needs the params; call optimizer.update(gradient, opt_state, params)"
            )
        after = optax.apply_updates(params, updates)
        return updates, ParamsEma(optax.incremental_update(after, state.average, 1 - decay))

    return optax.GradientTransformation(init, update)
