"""Complete models, each a `Layer`; trained ones; and generation from a language model."""

from jaxnets.models.alexnet import alexnet, alexnet_one_tower
from jaxnets.models.convnext import convnext
from jaxnets.models.generate import generate
from jaxnets.models.lenet import lenet5, lenet_batch_norm
from jaxnets.models.linear import linear, logistic, perceptron
from jaxnets.models.mlp import autoencoder, mlp
from jaxnets.models.mobilenet import efficientnet_lite0, mobilenet_v2
from jaxnets.models.pretrained import Pretrained, pretrained
from jaxnets.models.recorded import recorded as _recorded
from jaxnets.models.recurrent import lstm_classifier
from jaxnets.models.resnet import resnet18, resnet20, resnet50
from jaxnets.models.series import fcn, resnet1d
from jaxnets.models.small_cnn import small_cnn
from jaxnets.models.squeezenet import squeezenet, squeezenet_1_1
from jaxnets.models.transformer import bert_encoder, gpt, transformer_block
from jaxnets.models.unet import unet
from jaxnets.models.vgg import vgg11, vgg16

__all__ = [
    "Pretrained",
    "alexnet",
    "alexnet_one_tower",
    "autoencoder",
    "bert_encoder",
    "convnext",
    "efficientnet_lite0",
    "fcn",
    "generate",
    "gpt",
    "lenet5",
    "lenet_batch_norm",
    "linear",
    "logistic",
    "lstm_classifier",
    "mlp",
    "mobilenet_v2",
    "perceptron",
    "pretrained",
    "resnet1d",
    "resnet18",
    "resnet20",
    "resnet50",
    "small_cnn",
    "squeezenet",
    "squeezenet_1_1",
    "transformer_block",
    "unet",
    "vgg11",
    "vgg16",
]

NO_MODELS = {"Pretrained", "generate", "pretrained"}  # functions that return no model

for _name in set(__all__) - NO_MODELS:
    globals()[_name] = _recorded(globals()[_name])
