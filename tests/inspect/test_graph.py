"""The computation graph as text and as DOT."""

import re
import shutil
import subprocess

import jax
import jax.numpy as jnp
import pytest
from helpers import normal

from jaxnets import LayerError, conv, dense, max_pool, scan_over_time, serial
from jaxnets.inspect import computation_graph

PERCEPTRON = serial(("fc", dense(1)), jax.nn.sigmoid)
X = jax.ShapeDtypeStruct((4, 2), jnp.float32)


def cost(w, x, y):
    """S1, "Computation graphs": z = w'x, y~ = sigma(z), J, of one example."""
    p = jax.nn.sigmoid(jnp.dot(w, x))
    return -(y * jnp.log(p) + (1 - y) * jnp.log(1 - p))


def operations(graph):
    return [node.operation for node in graph.nodes if node.operation != "input"]


def test_the_graph_of_a_perceptron_reads_as_its_formula():
    assert computation_graph(PERCEPTRON, X).text() == (
        "n0 = input                float32[1]    params/fc/bias\n"
        "n1 = input                float32[2,1]  params/fc/kernel\n"
        "n2 = input                float32[4,2]  x\n"
        "n3 = dot_general(n2, n1)  float32[4,1]  fc\n"
        "n4 = reshape(n0)          float32[1,1]  fc\n"
        "n5 = add(n3, n4)          float32[4,1]  fc\n"
        "n6 = logistic(n5)         float32[4,1]\n"
        "return n6\n"
    )


def test_logistic_regression_has_the_graph_of_deck_s1_and_its_gradient():
    w, x, y = jnp.ones(3), jnp.ones(3), jnp.float32(1)
    forward = computation_graph(cost, w, x, y)
    assert [node.where for node in forward.nodes[:3]] == ["w", "x", "y"]
    assert operations(forward) == [
        *("dot_general", "logistic", "log", "mul", "sub", "sub", "log", "mul", "add", "neg")
    ]
    back = [node for node in computation_graph(jax.grad(cost), w, x, y).nodes if node.backward]
    # from J back to the two logarithms, their sum times y~ (1 - y~), and that times x
    assert [node.operation for node in back] == [
        *("neg", "mul", "div", "neg", "mul", "div", "add_any", "mul", "dot_general")
    ]
    assert back[-1].operands == (back[-2].name, "n1") and back[-1].shape == "float32[3]"
    assert not any(node.backward for node in forward.nodes)


def test_nested_layers_are_named_by_path_in_both_passes():
    model = serial(("block", serial(("fc1", dense(3)), jax.nn.relu)), ("fc2", dense(1)))
    graph = computation_graph(model, X)
    places = {(node.operation, node.where) for node in graph.nodes}
    expected = {("dot_general", "block/fc1"), ("max", "block"), ("dot_general", "fc2")}
    assert expected < places
    assert "n8 = max(n7, 0)" in graph.text()
    params, state = model.init(jax.random.key(0), X)

    def loss(params, x):
        return model.apply(params, state, x)[0].sum()

    nodes = computation_graph(jax.grad(loss), params, X).nodes
    back = {(node.operation, node.where) for node in nodes if node.backward}
    assert {("dot_general", "block/fc1"), ("dot_general", "fc2")} < back


def test_calls_are_inlined_loops_are_not_and_the_default_platform_is_shown():
    model = serial(("conv", conv(2, (3, 3))), max_pool((2, 2)))
    graph = computation_graph(model, jnp.ones((2, 4, 4, 1)))
    assert operations(graph) == ["conv_general_dilated", "reshape", "add", "reduce_window_max"]
    cell = serial(lambda carry_and_x: (carry_and_x[0] + carry_and_x[1], carry_and_x[1]))
    loop = computation_graph(scan_over_time(cell, lambda x: x), jnp.ones((2, 3, 4)))
    assert operations(loop).count("scan") == 1
    nested = jax.jit(jax.checkpoint(lambda x: jnp.sin(jax.nn.relu(x))))
    assert operations(computation_graph(nested, 1.0)) == ["max", "sin"]


def test_parameters_constants_and_several_outputs_are_shown():
    table = normal(3)

    def f(a, b):
        return b.sum(1) ** 3 - table, a - 0.5, 2.0

    assert computation_graph(f, 1.0, jnp.ones((3, 2))).text() == (
        "n0 = input                      float32[]     a\n"
        "n1 = input                      float32[3,2]  b\n"
        "n2 = constant                   float32[3]\n"
        "n3 = reduce_sum[axes=(1,)](n1)  float32[3]\n"
        "n4 = integer_pow[y=3](n3)       float32[3]\n"
        "n5 = sub(n4, n2)                float32[3]\n"
        "n6 = sub(n0, 0.5)               float32[]\n"
        "return n5, n6, 2\n"
    )
    named = computation_graph(lambda *arguments: arguments[1]["w"], 1.0, {"w": 2.0}).nodes
    assert [node.where for node in named] == ["arguments[0]", "arguments[1]/w"]


def test_the_same_model_gives_the_same_graph_from_values_or_from_shapes():
    first = computation_graph(PERCEPTRON, X)
    assert computation_graph(PERCEPTRON, jnp.ones((4, 2))) == first
    assert computation_graph(serial(("fc", dense(1)), jax.nn.sigmoid), X).dot() == first.dot()


def parsed(dot):
    """Node labels and edges of a DOT text; checks the braces and parses every line."""
    assert dot.startswith("digraph {\n") and dot.endswith("}\n")
    nodes, edges, boxes, depth = {}, [], [], 0
    for line in dot.splitlines():
        depth += line.count("{") * line.endswith("{") - (line == "}")
        if actual := re.fullmatch(r'(n\d+) \[label="((?:[^"\\]|\\.)*)"[^\]]*\];', line):
            nodes[actual[1]] = actual[2]
        elif actual := re.fullmatch(r"(n\d+) -> (n\d+);", line):
            edges.append((actual[1], actual[2]))
        elif actual := re.fullmatch(r'label="(.*)";', line):
            boxes.append(actual[1])
        else:
            assert re.fullmatch(r"digraph \{|subgraph cluster_\d+ \{|node \[.*\];|\}", line), line
    assert depth == 0
    return nodes, edges, boxes


def test_the_dot_text_has_all_nodes_edges_and_layers():
    graph = computation_graph(PERCEPTRON, X)
    nodes, edges, boxes = parsed(graph.dot())
    assert list(nodes) == ["n0", "n1", "n2", "n6", "n3", "n4", "n5"]
    assert nodes["n1"] == r"n1 = params/fc/kernel\nfloat32[2,1]"
    assert nodes["n3"] == r"n3 = dot_general(n2, n1)\nfloat32[4,1]"
    expected = {("n2", "n3"), ("n1", "n3"), ("n0", "n4"), ("n3", "n5"), ("n4", "n5"), ("n5", "n6")}
    assert set(edges) == expected and len(edges) == len(expected)
    assert boxes == ["fc"]
    assert "peripheries=2" in re.search(r"n6 \[.*", graph.dot())[0]


def test_the_dot_text_of_a_gradient_is_well_formed():
    graph = computation_graph(jax.grad(cost), jnp.ones(3), jnp.ones(3), 1.0)
    nodes, edges, boxes = parsed(graph.dot())
    assert len(nodes) == len(graph.nodes)
    assert set(sum(edges, ())) <= set(nodes)
    assert boxes == ["backward"]


@pytest.mark.skipif(shutil.which("dot") is None, reason="needs Graphviz")
def test_graphviz_renders_the_dot_text():
    dot = computation_graph(PERCEPTRON, X).dot().encode()
    assert subprocess.run(["dot", "-Tsvg"], input=dot, check=True, capture_output=True).stdout


def test_a_layer_takes_one_example_batch():
    with pytest.raises(LayerError, match="one example batch for a layer, but got 2"):
        computation_graph(PERCEPTRON, X, X)
