"""Summaries of models against counts by hand from the papers' layer sizes."""

from itertools import pairwise

import jax
import jax.numpy as jnp
import pytest
from helpers import normal

from jaxnets import batch_norm, conv, dense, flatten, models, network, scan_over_time, serial
from jaxnets.inspect import summary


def image(size, channels=3):
    return jax.ShapeDtypeStruct((1, size, size, channels), jnp.float32)


def convolution(out, size, channels, features):
    """The multiplications and additions of a square convolution to (out, out, features)."""
    return 2 * out * out * size * size * channels * features


def matmuls(*sizes):
    return sum(2 * a * b for a, b in pairwise(sizes))


LENET5 = convolution(28, 5, 1, 6) + convolution(10, 5, 6, 16) + matmuls(400, 120, 84, 10)
LENET_BATCH_NORM = (
    convolution(28, 3, 1, 16)
    + convolution(14, 3, 16, 32)
    + convolution(7, 3, 32, 64)
    + matmuls(7 * 7 * 64, 50, 10)
)
ALEXNET = (  # two groups with half of the channels each
    convolution(55, 11, 3, 96)
    + convolution(27, 5, 96 // 2, 256)
    + convolution(13, 3, 256, 384)
    + convolution(13, 3, 384 // 2, 384)
    + convolution(13, 3, 384 // 2, 256)
    + matmuls(6 * 6 * 256, 4096, 4096, 1000)
)
SMALL_CNN = matmuls(3 * 3 * 128, 10) + sum(
    convolution(side, 3, a, b) + convolution(side, 3, b, b)
    for side, a, b in ((28, 1, 32), (14, 32, 64), (7, 64, 128))
)


def vgg(*depths):
    total, channels = matmuls(7 * 7 * 512, 4096, 4096, 1000), 3
    for side, features, depth in zip(
        (224, 112, 56, 28, 14), (64, 128, 256, 512, 512), depths, strict=True
    ):
        total += convolution(side, 3, channels, features)
        total += (depth - 1) * convolution(side, 3, features, features)
        channels = features
    return total


def resnet18():
    total = convolution(112, 7, 3, 64) + 4 * convolution(56, 3, 64, 64) + matmuls(512, 1000)
    for side, width in ((28, 128), (14, 256), (7, 512)):
        total += convolution(side, 3, width // 2, width) + 3 * convolution(side, 3, width, width)
        total += convolution(side, 1, width // 2, width)
    return total


def resnet50():
    total, channels = convolution(112, 7, 3, 64) + matmuls(2048, 1000), 64
    for side, width, depth in ((56, 64, 3), (28, 128, 4), (14, 256, 6), (7, 512, 3)):
        before = side if width == 64 else 2 * side  # the first 1x1 convolution is before the stride
        total += convolution(before, 1, channels, width) + convolution(side, 1, channels, 4 * width)
        total += (depth - 1) * convolution(side, 1, 4 * width, width)
        total += depth * (
            convolution(side, 3, width, width) + convolution(side, 1, width, 4 * width)
        )
        channels = 4 * width
    return total


def resnet20():
    total = convolution(32, 3, 3, 16) + 6 * convolution(32, 3, 16, 16) + matmuls(64, 10)
    for side, width in ((16, 32), (8, 64)):
        total += convolution(side, 3, width // 2, width) + 5 * convolution(side, 3, width, width)
    return total


@pytest.mark.parametrize(
    ("model", "x", "parameters", "count"),
    [
        (models.lenet5(), image(28, 1), 61_706, LENET5),
        (models.lenet_batch_norm(), image(28, 1), 180_880, LENET_BATCH_NORM),
        (models.small_cnn(), image(28, 1), 298_410, SMALL_CNN),
        (models.alexnet(), image(227), 60_965_224, ALEXNET),
        (models.vgg11(), image(224), 132_863_336, vgg(1, 1, 2, 2, 2)),
        (models.vgg16(), image(224), 138_357_544, vgg(2, 2, 3, 3, 3)),
        (models.resnet18(), image(224), 11_689_512, resnet18()),
        (models.resnet20(), image(32), 269_722, resnet20()),
        (models.resnet50(), image(224), 25_557_032, resnet50()),
    ],
)
def test_the_totals_are_those_counted_by_hand(model, x, parameters, count):
    table = summary(model, x)
    assert (table.parameters, table.flops) == (parameters, count)
    assert table.parameter_bytes == 4 * parameters


def test_the_counts_by_hand_are_the_published_ones():
    """Multiply-adds in millions: He et al. 2016, table 1 (as usually rounded), and others'."""
    known = {ALEXNET: 724, vgg(2, 2, 3, 3, 3): 15_470, resnet18(): 1_814, resnet50(): 4_089}
    assert [round(count / 2e6) for count in known] == list(known.values())


def test_alexnet_has_the_25_rows_of_deck_s2():
    """S2: name, output and number of parameters; input and output are MATLAB's layers."""
    model = serial(("alexnet", models.alexnet()), ("prob", jax.nn.softmax))
    rows = [row for row in summary(model, image(227)).rows if row.path != "alexnet"]
    slide = """
        input 227,227,3; conv1 55,55,96 34944; relu1 55,55,96; norm1 55,55,96; pool1 27,27,96;
        conv2 27,27,256 307456; relu2 27,27,256; norm2 27,27,256; pool2 13,13,256;
        conv3 13,13,384 885120; relu3 13,13,384; conv4 13,13,384 663936; relu4 13,13,384;
        conv5 13,13,256 442624; relu5 13,13,256; pool5 6,6,256; fc6 4096 37752832; relu6 4096;
        drop6 4096; fc7 4096 16781312; relu7 4096; drop7 4096; fc8 1000 4097000; prob 1000;
        output 1000
    """
    expected = [tuple(row.split()) for row in slide.split(";")]
    assert len(rows) == len(expected) == 25
    for row, (name, shape, *parameters) in zip(rows, expected, strict=True):
        assert row.path.removeprefix("alexnet/") == name
        assert row.shape == (1, *map(int, shape.split(",")))
        assert row.parameters == sum(map(int, parameters))


def test_a_table_reads_line_by_line():
    model = serial(("conv", conv(2, (3, 3))), ("norm", batch_norm()), flatten, ("head", dense(3)))
    assert str(summary(model, jnp.ones((2, 4, 4, 1)))) == (
        "layer         output  parameters  FLOPs  parameter bytes  output bytes\n"
        "----------------------------------------------------------------------\n"
        "input   (2, 4, 4, 1)                                               128\n"
        "conv    (2, 4, 4, 2)          20  1,152               80           256\n"
        "norm    (2, 4, 4, 2)           4                      16           256\n"
        "head          (2, 3)          99    384              396            24\n"
        "output        (2, 3)                                                24\n"
        "----------------------------------------------------------------------\n"
        "total                        123  1,536              492\n"
        "and 4 state values"
    )


def test_operations_outside_named_layers_are_counted_for_the_output():
    table = summary(dense(3), normal(2, 5))
    assert [row.path for row in table.rows] == ["input", "output"]
    assert table.rows[-1][2:] == (18, 2 * 2 * 5 * 3, 72, 24)

    @network(fc=dense(4))
    def model(x, *, fc):
        return fc(x) @ jnp.ones((4, 7))

    rows = {row.path: row for row in summary(model, normal(2, 5)).rows}
    assert (rows["fc"].flops, rows["output"].flops) == (2 * 2 * 5 * 4, 2 * 2 * 4 * 7)


def test_a_scope_inside_a_layer_belongs_to_the_layer():
    def attend(x):
        with jax.named_scope("scores"):
            return x @ x.T

    rows = summary(serial(("attend", attend), ("attend2", attend)), normal(2, 5)).rows
    assert [row.flops for row in rows] == [0, 2 * 2 * 5 * 2, 2 * 2 * 2 * 2, 0]


def test_a_layer_with_an_unused_output_has_a_row():
    @network(fc=dense(4), unused=dense(3))
    def model(x, *, fc, unused):
        unused(x)
        return fc(x)

    rows = {row.path: row[1:4] for row in summary(model, normal(2, 5)).rows}
    assert rows["unused"] == ((2, 3), 18, 2 * 2 * 5 * 3)


def test_a_shared_layer_has_its_parameters_once_and_flops_per_call():
    @network(inner=serial(("fc", dense(3))))
    def model(x, *, inner):
        return inner(inner(x))

    table = summary(model, normal(2, 3))
    rows = [(row.path, row.parameters, row.flops) for row in table.rows[1:-1]]
    assert rows == [
        *[("inner/fc", 12, 36), ("inner", 0, 0), ("inner/fc#2", 0, 36), ("inner#2", 0, 0)]
    ]


def test_a_loop_over_time_counts_the_flops_of_all_steps():
    @network(fc=dense(4), head=dense(2))
    def cell(carry_and_x, *, fc, head):
        carry = jnp.tanh(fc(jnp.concatenate(carry_and_x, axis=1)))
        return carry, head(carry)

    rnn = scan_over_time(cell, lambda x: jnp.zeros((x.shape[0], 4)))
    table = summary(serial(("rnn", rnn)), normal(2, 5, 3))
    rows = {row.path: row[1:4] for row in table.rows}
    assert rows["rnn/fc"] == ((2, 4), 32, 5 * 2 * 2 * 7 * 4)
    assert rows["rnn/head"] == ((2, 2), 10, 5 * 2 * 2 * 4 * 2)
    assert rows["rnn"] == ((2, 5, 2), 0, 0)
    assert table.parameters == 42
