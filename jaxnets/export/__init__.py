"""Trained models in other formats: StableHLO, ONNX, and a page for the browser."""

from jaxnets.export.html import html
from jaxnets.export.onnx import onnx
from jaxnets.export.stablehlo import StableHLO, stablehlo

__all__ = ["StableHLO", "html", "onnx", "stablehlo"]
