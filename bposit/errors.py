"""What the command does not accept."""

__all__ = ["BadInput", "printable"]


class BadInput(ValueError):
    """The user's fault, said in one line: what was given, what is possible, and why.

    The command prints the text on stderr and exits with 2. Any other exception is a defect of
    ours and shows its traceback.
    """


def printable(text: object) -> str:
    """On one line, without characters that could drive a terminal."""
    line = " ".join(str(text).split())
    return "".join(c if c.isprintable() else ascii(c)[1:-1] for c in line)
