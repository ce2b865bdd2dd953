"""The networks that all peers train; `experiments.bench.peers.images` has the data.

On MNIST all start from weights of one distribution: kernels normal with a variance of 1 / fan-in
(LeCun et al. 1998, Efficient BackProp, section 4.6), truncated at about two standard deviations,
biases zero. The defaults of the libraries differ, which would change the number of epochs to a
given accuracy.
"""

from typing import NamedTuple

LEARNING_RATE = 1e-3  # Adam's; its other constants are 0.9, 0.999 and 1e-8
NORM_DECAY = 0.9  # the weight of the old running statistics: what PyTorch calls a momentum of 0.1
NORM_EPSILON = 1e-5


class Case(NamedTuple):
    """A network, whose input is divided by 255 and whose loss is softmax cross-entropy.

    Attributes:
      network: a description for readers; every convolution is padded as "SAME".
      shape: (height, width, channels) of an image.
      learns: whether its images are MNIST, so that accuracy is meaningful; otherwise noise.
    """

    network: str
    shape: tuple[int, int, int]
    learns: bool


CASES = {
    "mlp": Case("784-500-300-10, ReLU", (28, 28, 1), True),
    "cnn_bn": Case(  # batch norm and ReLU after every convolution, which has no bias
        "conv 3x3x16, pool, conv 3x3x32, pool, conv 3x3x64, dense 50, dense 10", (28, 28, 1), True
    ),
    "cnn_5x5": Case(  # ReLU after every convolution
        "conv 5x5x32, pool, conv 5x5x64, pool, dense 256, dense 10", (28, 28, 1), True
    ),
    "population": Case("784-32-10, ReLU, of every member", (28, 28, 1), True),
    "alexnet": Case("AlexNet, two groups", (227, 227, 3), False),
    "vgg16": Case("VGG-16", (224, 224, 3), False),
    "resnet18": Case("ResNet-18", (224, 224, 3), False),
    "resnet50": Case("ResNet-50", (224, 224, 3), False),
}
