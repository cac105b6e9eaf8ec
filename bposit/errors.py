"""What the command does not accept."""

__all__ = ["BadInput"]


class BadInput(ValueError):
    """The user's fault, said in one line: what was given, what is possible, and why.

    The command prints the text on stderr and exits with 2. Any other exception is a defect of
    ours and shows its traceback.
    """
