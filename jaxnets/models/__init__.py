"""Complete models; each function returns a `Layer`."""

from jaxnets.models.alexnet import alexnet
from jaxnets.models.lenet import lenet5, lenet_batch_norm
from jaxnets.models.linear import linear, logistic, perceptron
from jaxnets.models.mlp import autoencoder, mlp
from jaxnets.models.resnet import resnet18, resnet20, resnet50
from jaxnets.models.small_cnn import small_cnn
from jaxnets.models.vgg import vgg11, vgg16

__all__ = [
    "alexnet",
    "autoencoder",
    "lenet5",
    "lenet_batch_norm",
    "linear",
    "logistic",
    "mlp",
    "perceptron",
    "resnet18",
    "resnet20",
    "resnet50",
    "small_cnn",
    "vgg11",
    "vgg16",
]
