"""Transformers: the block, GPT and the encoder of BERT."""

from collections.abc import Callable

import jax
from jax.nn.initializers import normal

from jaxnets.compose import network, serial
from jaxnets.layer import Array, Layer
from jaxnets.layers import attention, dense, dropout, embedding, layer_norm, learned_positions
from jaxnets.named import Named

GELU = Named("jax.nn.gelu", jax.nn.gelu)
_INIT = normal(0.02)


def transformer_block(
    features: int,
    heads: int,
    *,
    hidden: int | None = None,
    causal: bool = False,
    pre_norm: bool = True,
    rate: float = 0.0,
    activation: Callable[[Array], Array] = GELU,
    epsilon: float = 1e-6,
    cache: int | None = None,
) -> Layer:
    """Attention, then an MLP on each step, both with a residual: (batch, time, features).

    Args:
      features: the features of the input and the output.
      heads: of the attention; they must divide the features.
      hidden: units of the MLP; by default 4 times the features.
      causal: each step attends to itself and earlier steps only.
      pre_norm: layer norm before attention and MLP (GPT-2: Radford et al. 2019); if false, after
        each residual, as in Vaswani et al. 2017 and BERT.
      rate: the dropout rate of both branches, before the residual.
      activation: of the MLP.
      epsilon: as for `layer_norm`.
      cache: as for `attention`.
    """

    @network(
        norm1=layer_norm(epsilon=epsilon),
        attention=attention(heads, causal=causal, cache=cache, kernel_init=_INIT),
        drop1=dropout(rate),
        norm2=layer_norm(epsilon=epsilon),
        fc1=dense(4 * features if hidden is None else hidden, kernel_init=_INIT),
        fc2=dense(features, kernel_init=_INIT),
        drop2=dropout(rate),
    )
    def block(x, *, norm1, attention, drop1, norm2, fc1, fc2, drop2):
        if pre_norm:
            x = x + drop1(attention(norm1(x)))
            return x + drop2(fc2(activation(fc1(norm2(x)))))
        x = norm1(x + drop1(attention(x)))
        return norm2(x + drop2(fc2(activation(fc1(x)))))

    return block


def gpt(
    vocabulary: int,
    length: int,
    *,
    features: int = 128,
    heads: int = 4,
    blocks: int = 2,
    rate: float = 0.0,
    activation: Callable[[Array], Array] = GELU,
    epsilon: float = 1e-6,
    cache: int | None = None,
) -> Layer:
    """A causal language model: token indices (batch, time) to logits (batch, time, vocabulary).

    The logits at step t are of the token at step t + 1. With a `cache`, the model takes the next
    steps of a sequence; see `generate`. `gpt(50257, 1024, features=768, heads=12, blocks=12,
    epsilon=1e-5)` is the smallest GPT-2 (Radford et al. 2019), whose weights `interop.torch.load`
    takes, except that the head's kernel is not tied to the embedding.

    Args:
      vocabulary: the number of tokens.
      length: the greatest number of steps.
      features: features of each step.
      heads: heads of attention per block.
      blocks: the number of transformer blocks.
      rate: the dropout rate, after the embedding and in the blocks.
      activation: of the MLPs; nanoGPT's is `partial(jax.nn.gelu, approximate=False)`.
      epsilon: as for `layer_norm`.
      cache: as for `attention`; the params are the same without it.
    """
    options = {"causal": True, "rate": rate, "activation": activation}
    options |= {"epsilon": epsilon, "cache": cache}
    return serial(
        ("tokens", embedding(vocabulary, features, embedding_init=_INIT)),
        ("positions", learned_positions(length, cache=cache is not None)),
        ("drop", dropout(rate)),
        *((f"block{i + 1}", transformer_block(features, heads, **options)) for i in range(blocks)),
        ("norm", layer_norm(epsilon=epsilon)),
        ("head", dense(vocabulary, use_bias=False, kernel_init=_INIT)),
    )


def bert_encoder(
    vocabulary: int,
    length: int,
    *,
    features: int = 128,
    heads: int = 4,
    blocks: int = 2,
    rate: float = 0.0,
    activation: Callable[[Array], Array] = GELU,
    epsilon: float = 1e-6,
) -> Layer:
    """A bidirectional encoder, from token indices (batch, time) to (batch, time, features).

    `bert_encoder(30522, 512, features=768, heads=12, blocks=12, epsilon=1e-12,
    activation=partial(jax.nn.gelu, approximate=False))` is the encoder of BERT-base (Devlin et al.
    2019) without segment embeddings: `interop.torch.load` adds the first segment's vector to the
    position embeddings. Arguments as in `gpt`.
    """
    options = {"pre_norm": False, "rate": rate, "epsilon": epsilon, "activation": activation}
    return serial(
        ("tokens", embedding(vocabulary, features, embedding_init=_INIT)),
        ("positions", learned_positions(length)),
        ("norm", layer_norm(epsilon=epsilon)),
        ("drop", dropout(rate)),
        *((f"block{i + 1}", transformer_block(features, heads, **options)) for i in range(blocks)),
    )
