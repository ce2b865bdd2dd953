"""An exponential moving average of the parameters, kept by the optimizer."""

from typing import Any, NamedTuple

import optax


class ParamsEma(NamedTuple):
    """The state of `params_ema`; `optax.tree.get(opt_state, "average")` returns the average."""

    average: optax.Params


def params_ema(decay: float) -> optax.GradientTransformation:
    """Averages the updated params; put it last in an `optax.chain`. Updates pass unchanged.

    `average <- decay * average + (1 - decay) * params`, starting from the initial params (Polyak &
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
        updated = optax.apply_updates(params, updates)
        return updates, ParamsEma(optax.incremental_update(updated, state.average, 1 - decay))

    return optax.GradientTransformation(init, update)
