"""Untrusted text is escaped and cut in messages."""

import pytest

from jaxnets.messages import LONGEST, printable
from jaxnets.trees import LayerError, check_names


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("fc1/kernel é 日本", "fc1/kernel é 日本"),
        ("\x1b[2J\r\n\t\x07", r"\x1b[2J\r\n\t\x07"),
        ("\x9b2J", r"\x9b2J"),  # the C1 form of an escape sequence
        ("a\u202eb\u2028", r"a\u202eb\u2028"),  # right-to-left override, and a line separator
        ("\udcff", r"\udcff"),  # a surrogate for a byte of a file name that is not UTF-8
        (3, "3"),
    ],
)
def test_control_characters_are_escaped(text, expected):
    assert printable(text) == expected
    assert printable(text).encode()


def test_long_text_is_cut():
    assert printable("a" * LONGEST) == "a" * LONGEST
    assert printable("a" * 10**7) == "a" * LONGEST + "... (10000000 characters)"


def test_the_names_of_weights_that_do_not_fit_are_printable():
    with pytest.raises(LayerError) as raised:
        check_names({"\x1b[2J": 1}, {})
    assert all(line.isprintable() for line in str(raised.value).split("\n"))
