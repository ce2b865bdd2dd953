"""The names of published PyTorch models: torchvision's, and Hugging Face's GPT-2 and BERT.

A model is recognised by the names of its weights and of our layers. Each function here returns the
arrays under our layers' names, with PyTorch's last names and order of axes: `conv1_1.weight`.
"""

import re
from collections.abc import Callable, Collection, Iterable
from typing import NamedTuple

import numpy as np

from jaxnets.errors import LayerError
from jaxnets.interop.weights import Flat

Rename = Callable[[Flat, list[str]], Flat]


class Architecture(NamedTuple):
    """How to recognise a model, and how to rename its weights.

    Attributes:
      theirs: one of its names, as a regular expression.
      ours: one of the paths of our model.
      rename: from the arrays by name and our layers, in order, to the renamed arrays.
    """

    theirs: str
    ours: str
    rename: Rename


def recognised(names: Iterable[str], paths: Collection[str]) -> Rename | None:
    """How to rename the weights, if names and our model's paths are of a published model."""
    names = list(names)
    for theirs, ours, rename in ARCHITECTURES:
        if ours in paths and any(re.fullmatch(theirs, name) for name in names):
            return rename
    return None


def renamed(arrays: Flat, layer_of: Callable[[str], str]) -> Flat:
    """The arrays, with modules renamed: `layer_of("features.0")` is the path of its layer.

    Raises:
      LayerError: two arrays get the same name.
    """
    result: Flat = {}
    for name, array in arrays.items():
        module, _, kind = name.rpartition(".")
        if not isinstance(layer := layer_of(module), str):
            raise LayerError(
                f"names expects to return the path of a layer, but got {layer!r} for {module!r}; "
                "to keep a name, return it unchanged"
            )
        layer = layer.replace("/", ".")
        if (ours := f"{layer}.{kind}" if layer else kind) in result:
            raise LayerError(f"names gives two arrays the name {ours!r}; give {name!r} another")
        result[ours] = array
    return result


def _by_patterns(*patterns: tuple[str, str]) -> Rename:
    """Renames modules by the first pattern that matches the whole name; others keep theirs."""

    def layer_of(module: str) -> str:
        for pattern, ours in patterns:
            if match := re.fullmatch(pattern, module):
                return match.expand(ours)
        return module

    return lambda arrays, layers: renamed(arrays, layer_of)


def _numbers(arrays: Flat, pattern: str) -> list[str]:
    """The modules whose name is the pattern of one number, in the order of the numbers."""
    matches = (re.match(pattern, name) for name in arrays)
    return sorted({m[0] for m in matches if m}, key=lambda m: int(re.findall(r"\d+", m)[-1]))


def _in_order(theirs: str, ours: str) -> Rename:
    """Renames numbered modules to the layers of a pattern, both in order."""

    def rename(arrays: Flat, layers: list[str]) -> Flat:
        targets = [layer for layer in dict.fromkeys(layers) if re.fullmatch(ours, layer)]
        table = dict(zip(_numbers(arrays, theirs), targets, strict=False))
        return renamed(arrays, lambda module: table.get(module, module))

    return rename


def _resnet(arrays: Flat, layers: list[str]) -> Flat:
    del layers

    def layer_of(module: str) -> str:
        module = re.sub(r"^fc$", "head", module)
        module = re.sub(r"^layer(\d)\.(\d+)", lambda m: f"stage{m[1]}.block{int(m[2]) + 1}", module)
        module = module.replace("downsample.0", "shortcut.conv")
        return re.sub(r"\bbn(\d)", r"norm\1", module.replace("downsample.1", "shortcut.norm"))

    return renamed(arrays, layer_of)


def _vgg(arrays: Flat, layers: list[str]) -> Flat:
    dense = _by_patterns(
        (r"classifier\.0", "fc6"), (r"classifier\.3", "fc7"), (r"classifier\.6", "fc8")
    )
    return dense(_in_order(r"features\.\d+", r"conv\d_\d")(arrays, layers), layers)


def _alexnet(arrays: Flat, layers: list[str]) -> Flat:
    dense = _by_patterns(
        (r"classifier\.1", "fc6"), (r"classifier\.4", "fc7"), (r"classifier\.6", "fc8")
    )
    return dense(_in_order(r"features\.\d+", r"conv\d")(arrays, layers), layers)


def _squeezenet(arrays: Flat, layers: list[str]) -> Flat:
    fires = _numbers(arrays, r"features\.\d+(?=\.)")
    fires = [fire for fire in fires if f"{fire}.squeeze.weight" in arrays]
    numbers = {fire: f"fire{number}" for number, fire in enumerate(fires, start=2)}
    renames = [
        (rf"{re.escape(fire)}\.squeeze", f"{ours}.squeeze") for fire, ours in numbers.items()
    ]
    for n in (1, 3):
        renames += [
            (rf"{re.escape(fire)}\.expand{n}x{n}", f"{ours}.expand{n}")
            for fire, ours in numbers.items()
        ]
    renames += [(r"features\.0", "conv1"), (r"classifier\.1", "conv10")]
    return _by_patterns(*renames)(arrays, layers)


def _mobilenet_v2(arrays: Flat, layers: list[str]) -> Flat:
    """Torchvision numbers all blocks; in each, `conv.0` is the expansion, if there is one."""
    blocks = list(dict.fromkeys(m[0] for p in layers if (m := re.match(r"stage\d/block\d", p))))
    parts = ("expand", "depthwise", "project")

    def layer_of(module: str) -> str:
        match = re.fullmatch(r"features\.(\d+)\.(.+)", module)
        if not match:
            return {"classifier.1": "head"}.get(module, module)
        number, rest = int(match[1]), match[2]
        if number == 0 or number > len(blocks):
            return f"{'last' if number else 'stem'}/{('conv', 'norm')[int(rest)]}"
        block, first = blocks[number - 1], number == 1
        layer = f"{block}/branch" if f"{block}/branch/project/conv" in layers else block
        numbers = [int(n) for n in re.findall(r"\d+", rest)]
        if len(numbers) == 2:
            return f"{layer}/{parts[numbers[0] + first]}/{('conv', 'norm')[numbers[1]]}"
        return f"{layer}/project/{'conv' if numbers[0] == 2 - first else 'norm'}"

    return renamed(arrays, layer_of)


def _convnext(arrays: Flat, layers: list[str]) -> Flat:
    def layer_of(module: str) -> str:
        parts = {"0": "depthwise", "2": "norm", "3": "expand", "5": "project", "": "scale"}
        if match := re.fullmatch(r"features\.(\d+)\.(\d+)(?:\.block\.(\d))?", module):
            stage, n, part = (int(match[1]) + 1) // 2, int(match[2]), match[3] or ""
            if match[1] == "0":
                return ("stem", "norm1")[n]
            if int(match[1]) % 2 == 0:
                return f"stage{stage + 1}/{('norm', 'down')[n]}"
            return f"stage{stage}/block{n + 1}/{parts[part]}"
        return {"classifier.0": "norm2", "classifier.2": "head"}.get(module, module)

    del layers
    scale = {name: array.reshape(-1) for name, array in arrays.items() if "layer_scale" in name}
    flat = renamed(arrays | scale, layer_of)
    return {name.replace("scale.layer_scale", "scale.weight"): a for name, a in flat.items()}


def _gpt2(arrays: Flat, layers: list[str]) -> Flat:
    """GPT-2 of Hugging Face, with (inputs, outputs) kernels, or of nanoGPT, with PyTorch's order.

    The head is that of the file, or the embedding, to which it is tied. Without any bias, as with
    nanoGPT's `bias=False`, they are zeros.
    """
    arrays = {name.removeprefix("transformer."): array for name, array in arrays.items()}
    arrays = {n: a for n, a in arrays.items() if not re.search(r"\.attn\.(masked_)?bias$", n)}
    if "wte.weight" in arrays:
        arrays.setdefault("lm_head.weight", arrays["wte.weight"])
    rows, columns = arrays["h.0.attn.c_attn.weight"].shape
    if rows < columns:  # of Conv1D
        is_kernel = re.compile(r"h\.\d+\..*\.c_\w+\.weight")
        arrays = {n: a.T if is_kernel.fullmatch(n) else a for n, a in arrays.items()}
    if not any(name.endswith(".bias") for name in arrays):
        arrays |= _zero_biases(arrays)
    flat = _by_patterns(
        *[("wte", "tokens"), ("wpe", "positions"), ("ln_f", "norm"), ("lm_head", "head")],
        *[(r"h\.(\d+)\.ln_(\d)", r"block\1.norm\2"), (r"h\.(\d+)\.mlp\.c_fc", r"block\1.fc1")],
        *[(r"h\.(\d+)\.mlp\.c_proj", r"block\1.fc2")],
        *[(r"h\.(\d+)\.attn\.c_proj", r"block\1.attention.out")],
        *[(r"h\.(\d+)\.attn\.c_attn", r"block\1.attention.in_proj")],
    )(arrays, layers)
    return {_from_one(name.replace("in_proj.", "in_proj_")): array for name, array in flat.items()}


def _zero_biases(arrays: Flat) -> Flat:
    """A bias of zeros for each norm and kernel of GPT-2, whose outputs are its first axis."""
    has_bias = re.compile(r"(ln_f|h\.\d+\..*)\.weight")
    modules = [name.removesuffix("weight") for name in arrays if has_bias.fullmatch(name)]
    weights = {module: arrays[f"{module}weight"] for module in modules}
    return {f"{m}bias": np.zeros(w.shape[:1], w.dtype) for m, w in weights.items()}


def _bert(arrays: Flat, layers: list[str]) -> Flat:
    """BERT of Hugging Face, for text of one segment, whose vector is added to the positions'."""
    arrays = {name.removeprefix("bert."): array for name, array in arrays.items()}
    heads = r"pooler\.|cls\.|classifier\.|embeddings\.position_ids"
    arrays = {name: array for name, array in arrays.items() if not re.match(heads, name)}
    positions, segments = (f"embeddings.{n}_embeddings.weight" for n in ("position", "token_type"))
    if {positions, segments} <= arrays.keys():
        arrays[positions] = arrays[positions] + arrays.pop(segments)[0]
    block, ours = r"encoder\.layer\.(\d+)\.", r"block\1."
    flat = _by_patterns(
        *[(r"embeddings\.word_embeddings", "tokens"), (r"embeddings\.LayerNorm", "norm")],
        *[(r"embeddings\.position_embeddings", "positions")],
        *[(rf"{block}attention\.self\.(\w+)", rf"{ours}attention.\2")],
        *[(rf"{block}attention\.output\.dense", f"{ours}attention.out")],
        *[(rf"{block}attention\.output\.LayerNorm", f"{ours}norm1")],
        *[(rf"{block}intermediate\.dense", f"{ours}fc1"), (rf"{block}output\.dense", f"{ours}fc2")],
        *[(rf"{block}output\.LayerNorm", f"{ours}norm2")],
    )(arrays, layers)
    return {_from_one(name): array for name, array in flat.items()}


def _from_one(name: str) -> str:
    """A name with its block numbered from 1 instead of 0."""
    return re.sub(r"^block(\d+)", lambda match: f"block{int(match[1]) + 1}", name)


ARCHITECTURES = (
    Architecture(r"layer1\.0\.conv1\.weight", "stage1/block1/conv1/kernel", _resnet),
    Architecture(r"features\.0\.weight", "conv1_1/kernel", _vgg),
    Architecture(r"features\.3\.squeeze\.weight", "fire2/squeeze/kernel", _squeezenet),
    Architecture(r"features\.0\.weight", "fc6/kernel", _alexnet),
    Architecture(r"features\.0\.0\.weight", "stem/conv/kernel", _mobilenet_v2),
    Architecture(r"features\.1\.0\.layer_scale", "stage1/block1/scale/scale", _convnext),
    Architecture(r"(transformer\.)?h\.0\.attn\.c_attn\.weight", "block1/fc1/kernel", _gpt2),
    Architecture(
        r"(bert\.)?encoder\.layer\.0\.attention\.self\.query\.weight", "block1/fc1/kernel", _bert
    ),
)
