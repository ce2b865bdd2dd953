"""The colours of the page have enough contrast in both themes (WCAG 2.2, level AA)."""

import re

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
