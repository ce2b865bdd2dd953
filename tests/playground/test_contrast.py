"""The colours of the page have enough contrast in both themes (WCAG 2.2, level AA)."""

import re
from itertools import combinations

import numpy as np
import pytest

from jaxnets.playground.server import STATIC

STYLE = (STATIC / "style.css").read_text(encoding="utf-8")
ROOTS = [
    dict(re.findall(r"--(\w+): #(\w+);", root)) for root in re.findall(r":root {([^}]*)}", STYLE)
]
THEMES = {"light": ROOTS[0], "dark": ROOTS[0] | ROOTS[1]}
TEXT = [(text, back) for text in ("text", "dim", "warn") for back in ("back", "card")]
TEXT += [("on", "accent")]
CONTROLS = [(edge, back) for edge in ("edge", "accent", "warn") for back in ("back", "card")]


def luminance(colour):
    """WCAG 2.2, relative luminance."""
    colour = colour if len(colour) == 6 else "".join(2 * digit for digit in colour)
    parts = [int(colour[i : i + 2], 16) / 255 for i in (0, 2, 4)]
    red, green, blue = (v / 12.92 if v <= 0.04045 else ((v + 0.055) / 1.055) ** 2.4 for v in parts)
    return 0.2126 * red + 0.7152 * green + 0.0722 * blue


def contrast(one, other):
    low, high = sorted(map(luminance, (one, other)))
    return (high + 0.05) / (low + 0.05)


def test_the_contrast_is_that_of_wcags_examples():
    assert contrast("000", "fff") == pytest.approx(21)
    assert contrast("777777", "ffffff") == pytest.approx(4.48, abs=0.005)


@pytest.mark.parametrize("theme", THEMES)
def test_text_has_a_contrast_of_4_5_and_controls_of_3(theme):
    colours = THEMES[theme]
    for pairs, least in ((TEXT, 4.5), (CONTROLS, 3.0)):
        ratios = {pair: contrast(*(colours[name] for name in pair)) for pair in pairs}
        assert {pair: ratio for pair, ratio in ratios.items() if ratio < least} == {}


def test_text_is_in_these_colours_alone():
    names = set(re.findall(r"(?<![-\w])color: var\(--(\w+)\)", STYLE))
    assert names <= {text for text, _ in TEXT}


# Machado, Oliveira & Fernandes 2009, severity 1.0, on linear sRGB.
BLIND = {
    "protanopia": "0.152286 1.052583 -0.204868 0.114503 0.786281 0.099216 "
    "-0.003882 -0.048116 1.051998",
    "deuteranopia": "0.367322 0.860646 -0.227968 0.280085 0.672501 0.047413 "
    "-0.011820 0.042940 0.968881",
    "tritanopia": "1.255528 -0.076749 -0.178779 -0.078411 0.930809 0.147602 "
    "0.004733 0.691367 0.303900",
    "none": "1 0 0 0 1 0 0 0 1",
}


def cielab(colours):
    """CIE 1976 L*a*b* of linear sRGB (colours, 3), for the white of D65."""
    to_xyz = [[0.4124, 0.3576, 0.1805], [0.2126, 0.7152, 0.0722], [0.0193, 0.1192, 0.9505]]
    xyz = np.clip(colours, 0, 1) @ np.transpose(to_xyz) / (0.9505, 1, 1.089)
    x, y, z = np.where(xyz > 0.008856, np.cbrt(xyz), 7.787 * xyz + 16 / 116).T
    return np.stack([116 * y - 16, 500 * (x - y), 200 * (y - z)], axis=1)


@pytest.mark.parametrize("kind", BLIND)
def test_the_colours_of_ten_classes_differ_for_the_colour_blind(kind):
    script = (STATIC / "colours.js").read_text(encoding="utf-8")
    listed = re.search(r"CLASSES = (\[\[[\d\s,\[\]]+\]\]);", script)[1]
    srgb = np.array(re.findall(r"\d+", listed), float).reshape(10, 3) / 255
    linear = np.where(srgb <= 0.04045, srgb / 12.92, ((srgb + 0.055) / 1.055) ** 2.4)
    seen = cielab(linear @ np.array(BLIND[kind].split(), float).reshape(3, 3).T)
    assert min(np.linalg.norm(a - b) for a, b in combinations(seen, 2)) > 15  # 2.3 is just seen
