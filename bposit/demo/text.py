"""English to learn from: the prose of Python's own help pages, character by character."""

from __future__ import annotations

import re
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from math import log
from typing import final

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from .models import Transformer
from .tasks import Logits, Plan, Task

__all__ = ["Text", "paragraphs"]

_FOLDED = {"’": "'", "‘": "'", "—": "-", "–": "-"} | dict.fromkeys('“”"*`')


def paragraphs() -> list[str]:
    """The paragraphs of ``pydoc_data.topics`` that are prose, each once.

    In lower case, without marks of quotation and emphasis. Prose is 60 characters at least, all of
    them letters, blanks or ``,.;:'()_-``, the last a full stop: no grammar, table, code, heading.
    """
    from pydoc_data.topics import topics

    found: dict[str, None] = {}
    for _, page in sorted(topics.items()):
        for part in re.split(r"\n\s*\n", page):
            line = " ".join(part.translate(str.maketrans(_FOLDED)).lower().split())
            if len(line) >= 60 and re.fullmatch(r"[a-z][a-z ,.;:'()_-]*\.", line):
                found[line] = None
    return list(found)


@final
@dataclass(frozen=True)
class Text(Task):
    """The next character of :func:`paragraphs`, to be guessed from up to 32 before it.

    ``inputs`` and ``targets`` are (length,), the targets one place further. Every tenth paragraph
    is for tests, in rows: (count, 32).

    Parameters
    ----------
    alphabet : str
        The characters, by number; 0 is the end of a paragraph.
    """

    alphabet: str

    CONTEXT = 32
    name = "text"
    unit = "bits per character"
    plan = Plan(300, 32, "AdamW", {"betas": (0.9, 0.95), "weight_decay": 0.01}, 0.01)

    @classmethod
    def load(cls) -> Text:
        """From the running Python; other versions have other pages."""
        lines = paragraphs()
        alphabet = "\n" + "".join(sorted(set("".join(lines))))
        test = _numbers("\n".join(lines[::10]), alphabet)
        text = _numbers("\n".join(x for i, x in enumerate(lines) if i % 10), alphabet)
        rows = (len(test) - 1) // cls.CONTEXT
        x, y = (test[i : i + rows * cls.CONTEXT].reshape(rows, -1) for i in (0, 1))
        return cls(text[:-1], text[1:], x, y, alphabet)

    @property
    def about(self) -> str:
        """See the base class."""
        return (
            f"Text: a Transformer learns the English of Python's help pages, {len(self.targets)}"
            " characters, one by one."
        )

    def model(self) -> nn.Module:
        """See the base class."""
        return Transformer(len(self.alphabet), self.CONTEXT)

    def batches(self, seed: int, size: int) -> Iterator[tuple[Tensor, Tensor]]:
        """Windows from anywhere in the text."""
        generator = torch.Generator().manual_seed(seed)
        while True:
            last = len(self.inputs) - self.CONTEXT
            starts = torch.randint(last + 1, (size, 1), generator=generator)
            at = starts + torch.arange(self.CONTEXT)
            yield self.inputs[at], self.targets[at]

    def score(self, logits: Logits) -> float:
        """Bits to tell the next character, given those before it in its row."""
        total = 0.0
        for x, y in zip(self.test_inputs.split(48), self.test_targets.split(48), strict=True):
            total += float(F.cross_entropy(logits(x).flatten(0, 1), y.flatten(), reduction="sum"))
        return total / self.test_targets.numel() / log(2)

    def write(self, logits: Logits, beginnings: Sequence[str], length: int) -> list[str]:
        """Continue texts of one length by ``length`` characters, drawn as the network expects them.

        Its probabilities are squared and made to sum to 1 again, which is legible sooner.
        """
        generator = torch.Generator().manual_seed(0)
        rows = torch.stack([_numbers(x, self.alphabet) for x in beginnings])
        for _ in range(length):
            share = (2 * logits(rows[:, -self.CONTEXT :])[:, -1, 1:]).softmax(-1)  # without the end
            rows = torch.cat([rows, 1 + torch.multinomial(share, 1, generator=generator)], 1)
        return ["".join(self.alphabet[i] for i in row) for row in rows.tolist()]


def _numbers(text: str, alphabet: str) -> Tensor:
    return torch.tensor([alphabet.index(c) for c in text])
