"""Escapes untrusted text for messages."""

LONGEST = 1_000  # characters: enough for a path; longer text is cut


def printable(text: object) -> str:
    r"""The text in one line, with control characters escaped, cut after `LONGEST` characters.

    For everything in a message that comes from a file, a server or the file system: an escape
    sequence in a file name could clear the screen or imitate another message.

    >>> printable("fc1\x1b[2J\n")
    'fc1\\x1b[2J\\n'
    """
    full = str(text)
    shown = full[:LONGEST]
    if not shown.isprintable():
        shown = "".join(c if c.isprintable() else repr(c)[1:-1] for c in shown)
    return shown if len(full) <= LONGEST else f"{shown}... ({len(full)} characters)"
