"""Text from outside, made safe for a message."""

LONGEST = 1_000  # characters: a path fits, a name of a megabyte does not


def printable(text: object) -> str:
    r"""The text in one line that no terminal obeys: control characters escaped, and cut if long.

    For everything in a message that came from a file, a server or the file system: an escape
    sequence in a file's name can clear a screen or fake another message.

    >>> printable("fc1\x1b[2J\n")
    'fc1\\x1b[2J\\n'
    """
    whole = str(text)
    kept = whole[:LONGEST]
    if not kept.isprintable():
        kept = "".join(c if c.isprintable() else repr(c)[1:-1] for c in kept)
    return kept if len(whole) <= LONGEST else f"{kept}... ({len(whole)} characters)"
