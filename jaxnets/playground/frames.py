"""Events for the page: JSON in the format of server-sent events."""

import base64
import json
import math
from typing import Any

import numpy as np


def event(kind: str, message: dict[str, Any]) -> bytes:
    """A server-sent event."""
    return f"event: {kind}\ndata: {json.dumps(message)}\n\n".encode()


def encode(seen: dict[str, Any], depth: int, outputs: int) -> dict[str, Any]:
    """The result of `look` in JSON types.

    Maps are base64 strings: "units" has those of the features and of `depth` hidden layers,
    "outputs" those of the first `outputs` outputs. `scores` are lists by seed: the losses on the
    training and the test part, then the accuracies; None for a number that is not finite. `layers`
    are the parameters of the network on view.
    """
    params, shown = seen["params"], {"units": depth + 1, "outputs": outputs}
    hidden = params["hidden"]["fc"] if depth else {}
    layers = [{part: leaf[i] for part, leaf in hidden.items()} for i in range(depth)]
    layers += [{part: leaf[..., :outputs] for part, leaf in params["head"].items()}]
    maps = {
        name: base64.b64encode(value[: shown.get(name)].tobytes()).decode()
        for name, value in seen.items()
        if name not in ("params", "scores")
    }
    return maps | {
        "scores": [[_number(value) for value in row] for row in seen["scores"]],
        "layers": [
            {part: np.round(layer[part], 4).tolist() for part in ("kernel", "bias")}
            for layer in layers
        ],
    }


def _number(value: Any) -> float | None:
    return round(float(value), 5) if math.isfinite(value) else None
