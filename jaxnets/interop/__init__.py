"""Interoperability with other formats and libraries.

`torch.load`, `keras.load` and `flax.load` load weights by name. A single error lists everything
that does not fit: names, shapes, dtypes, a dense kernel after `flatten` whose rows have another
order, an epsilon that differs from the file's. Files of weights do not record the following;
compare a few outputs with those of the library that trained them:

| pitfall | what goes wrong | remedy |
|---|---|---|
| pixels in 0..255 or 0..1, mean and deviation | wrong classes, no error | `scale_pixels(mean, std)` as in training; torchvision: 0.485, 0.456, 0.406 and 0.229, 0.224, 0.225 |
| BGR images (OpenCV, Caffe) | somewhat lower accuracy | `x[..., ::-1]` before the model |
| epsilon in PyTorch | errors of up to 1e-3, relative | torch: 1e-5 for every norm; here 1e-5 for `batch_norm`, 1e-6 for `layer_norm` and `group_norm`; GPT-2 1e-5, BERT 1e-12 |
| GELU | errors of 1e-3, absolute | PyTorch's default, nanoGPT and BERT: exact; GPT-2 and `jax.nn.gelu`: the tanh approximation |
| padding of strided convolutions | shifted by a pixel | PyTorch pads both sides equally, as `padding=((1, 1), (1, 1))`; "SAME" pads more at the end |
| rounding of pooled sizes | wrong shapes or edges | `max_pool(..., ceil_mode=True)` where PyTorch has it |
| a dense layer whose output becomes an image | wrong images, no error | PyTorch's columns are channels first: reshape to (channels, height, width), then `jnp.moveaxis` |
| mean over padded pixels | wrong averages at the edges | PyTorch counts padding in `AvgPool2d`; Keras and this library do not |
| resizing and cropping before the model | lower accuracy | the size and the interpolation of training |
| momentum of batch norm, in further training | statistics lag | PyTorch's momentum 0.1 is `decay=0.9`; Keras's 0.99 is `decay=0.99` |
"""  # noqa: E501

from importlib import import_module as _import_module
from typing import Any

_MODULES = ("equinox", "flax", "keras", "safetensors", "sklearn", "torch")


def __getattr__(name: str) -> Any:
    if name in _MODULES:  # imported lazily, since each needs other packages
        return _import_module(f"jaxnets.interop.{name}")
    raise AttributeError(f"module {__name__!r} has no attribute {name!r}")


def __dir__() -> list[str]:
    return [*_MODULES]
