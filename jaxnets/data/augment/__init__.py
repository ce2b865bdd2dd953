"""Augmentation on the device: `augment(key, x, y) -> (x, y)`, pure, inside the compiled step.

x is a batch of images (batch, height, width, channels) of any dtype, which it keeps: integers are
rounded. The same key gives the same batch. What is drawn for image i is a function of the key and
i alone, whatever the images are and however many. Strength 0 changes nothing.

`chain` runs several. A strength may be traced, as in `flip(hparams["rate"])` inside a function that
makes the train step of its hyperparameters. Smoothed labels are the loss's:
`losses.softmax_cross_entropy(..., label_smoothing=0.1)`, after `mixup` too.
"""

from jaxnets.data.augment.affine import affine, warp
from jaxnets.data.augment.chain import chain
from jaxnets.data.augment.erasing import cutout, erase
from jaxnets.data.augment.mixing import mixup
from jaxnets.data.augment.moving import crop, flip, shift

__all__ = ["affine", "chain", "crop", "cutout", "erase", "flip", "mixup", "shift", "warp"]
