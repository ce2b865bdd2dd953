"""ONNX's backend node cases, with their inputs and outputs, for the operators that are layers here.

Outputs and cases that our layers do not support are listed with a reason; all other cases must
pass.
"""

import warnings
from collections import defaultdict

import numpy as np
import pytest
from onnx_operators import OPERATORS

onnx = pytest.importorskip("onnx", reason="ONNX is not installed: pip install -e '.[parity]'")

pytestmark = pytest.mark.parity

INEXPRESSIBLE = {
    "test_gather_negative_indices": "embedding gives NaN where ONNX counts from the end",
    "test_gemm_default_matrix_bias": "dense has one bias per feature, not one per example",
    "test_nesterov_momentum": "momentum has no Nesterov form",
}
# Operators that a layer here supports only in part, and the cases that it supports.
SPECIAL = {
    "Resize": {  # by whole factors, with the centres of pixels at 1/2, 3/2, ...
        "test_resize_upsample_scales_linear",
        "test_resize_upsample_scales_nearest",
        "test_resize_upsample_scales_nearest_axes_2_3",
        "test_resize_upsample_scales_nearest_axes_3_2",
    },
}
# Operator: the number of its outputs that we support, if ONNX has more.
FIRST_OUTPUTS = {
    "CausalConvWithState": 1,  # not the last inputs, for the next call
    "Dropout": 1,  # not the mask
    "LayerNormalization": 1,  # not the statistics
    "MaxPool": 1,  # not the indices
    "SoftmaxCrossEntropyLoss": 1,  # not the logarithms of the probabilities
}
# Cases with outputs rounded to four decimals or to float16, compared with ONNX's tolerance.
ROUNDED = {
    "test_averagepool_2d_ceil_last_window_starts_on_pad",
    "test_causal_conv_with_state_silu_fp16",
}


@pytest.fixture(scope="session")
def cases():
    """The cases of each operator with one node; the others expand an operator."""
    from onnx.backend.test.loader import load_model_tests

    np.random.seed(0)  # the inputs of cases are random
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")  # from ONNX's reference implementation
        loaded = load_model_tests(kind="node")
    by_operator = defaultdict(list)
    for case in loaded:
        operator = case.model.graph.node[0].op_type
        if len(case.model.graph.node) == 1 and case.name in SPECIAL.get(operator, {case.name}):
            by_operator[operator].append(case)
    return by_operator


def outputs_of(case):
    """Pairs of actual and expected outputs of a case."""
    (node,) = case.model.graph.node
    attributes = {a.name: onnx.helper.get_attribute_value(a) for a in node.attribute}
    ((inputs, expected),) = case.data_sets
    inputs, expected = iter(inputs), iter(expected)
    operands = [next(inputs) if name else None for name in node.input]
    actual = OPERATORS[node.op_type](attributes, *operands)
    named = node.output[: FIRST_OUTPUTS.get(node.op_type)]
    return [(actual[n], next(expected)) for n, name in enumerate(named) if name]


def difference(case):
    """A description of the differences in a case; empty if there are none."""
    tolerance = (case.rtol, case.atol) if case.name in ROUNDED else (1e-5, 1e-6)
    try:
        for actual, expected in outputs_of(case):
            np.testing.assert_allclose(np.asarray(actual), expected, *tolerance, strict=True)
    except (AssertionError, ValueError) as error:
        return str(error)
    return ""


@pytest.mark.parametrize("operator", OPERATORS)
def test_the_cases_of_an_operator_pass(operator, cases):
    expressible = [case for case in cases[operator] if case.name not in INEXPRESSIBLE]
    assert expressible
    assert {case.name: text for case in expressible if (text := difference(case))} == {}


def test_a_case_listed_with_a_reason_does_not_pass(cases):
    with_reason = {
        case.name: case
        for operator in OPERATORS
        for case in cases[operator]
        if case.name in INEXPRESSIBLE
    }
    assert with_reason.keys() == INEXPRESSIBLE.keys()
    assert [name for name, case in with_reason.items() if not difference(case)] == []


def test_at_least_250_cases_are_run(cases, record_property):
    names = {case.name for operator in OPERATORS for case in cases[operator]}
    run = names - INEXPRESSIBLE.keys()
    record_property("ONNX cases", f"{len(run)} run, {len(INEXPRESSIBLE)} are not expressible")
    assert len(run) >= 250 and len(INEXPRESSIBLE) < 10
