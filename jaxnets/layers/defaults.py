"""Default initialisers and implementations of the layers."""

import jax
import jax.numpy as jnp
from jax.nn.initializers import (
    glorot_uniform,
    lecun_normal,
    orthogonal,
    variance_scaling,
    zeros,
)

from jaxnets import lowering
from jaxnets.named import Named

LECUN_NORMAL = Named("lecun_normal()", lecun_normal())
LECUN_NORMAL_TRANSPOSED = Named(
    "lecun_normal(in_axis=-1, out_axis=-2)", lecun_normal(in_axis=-1, out_axis=-2)
)
EMBEDDING_NORMAL = Named(
    'variance_scaling(1.0, "fan_in", "normal", out_axis=0)',
    variance_scaling(1.0, "fan_in", "normal", out_axis=0),
)
GLOROT_UNIFORM = Named("glorot_uniform()", glorot_uniform())
ORTHOGONAL = Named("orthogonal()", orthogonal())
ZEROS = Named("zeros", zeros)
BERNOULLI = Named("jax.random.bernoulli", jax.random.bernoulli)
CONV = Named("lowering.conv", lowering.conv)
CONV_TRANSPOSE = Named("lowering.conv_transpose", lowering.conv_transpose)
MAX_POOL = Named("lowering.max_pool", lowering.max_pool)
TANH = Named("jnp.tanh", jnp.tanh)
LSTM = Named("lowering.lstm", lowering.lstm)
GRU = Named("lowering.gru", lowering.gru)
