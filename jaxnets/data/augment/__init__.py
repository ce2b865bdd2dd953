"""Augmentation on the device: pure functions `augment(key, x, y) -> (x, y)` in the train step.

x is a batch of images (batch, height, width, channels) of any dtype, which does not change;
integers are rounded. The random numbers for image i depend only on the key and i. Strength 0
changes no image.

`chain` combines several. A strength may be traced: use `flip(hparams["rate"])` in the function that
builds the train step from `hparams`. For label smoothing, also after `mixup`, use
`losses.softmax_cross_entropy(..., label_smoothing=0.1)`.
"""

from jaxnets.data.augment.affine import affine, warp
from jaxnets.data.augment.chain import chain
from jaxnets.data.augment.erasing import cutout, erase
from jaxnets.data.augment.mixing import mixup
from jaxnets.data.augment.moving import crop, flip, shift

__all__ = ["affine", "chain", "crop", "cutout", "erase", "flip", "mixup", "shift", "warp"]
