"""Trained models in one file, which predict without the code that built them."""

from jaxnets.errors import ModelFileError, ModelFileWarning
from jaxnets.saved_model.load import load_model
from jaxnets.saved_model.loaded import LoadedModel
from jaxnets.saved_model.preprocess import Pixels, Preprocess, register_preprocess
from jaxnets.saved_model.save import save_model

__all__ = [
    "LoadedModel",
    "ModelFileError",
    "ModelFileWarning",
    "Pixels",
    "Preprocess",
    "load_model",
    "register_preprocess",
    "save_model",
]
