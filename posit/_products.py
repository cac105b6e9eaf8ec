"""Products of posit arrays by NumPy's rules for shapes, each element exact and rounded once."""

from __future__ import annotations

from collections.abc import Sequence
from math import prod
from typing import Any

import numpy as np
import numpy.typing as npt

from ._arrays import refuse_mask
from ._dtype import view
from .spec import PositSpec

__all__ = ["dot", "einsum", "posits", "totals"]

Array = npt.NDArray[Any]
Label = str | int
"""A letter, or an axis behind ``...``: -1 is the last of them, as they broadcast."""
Labels = list[Label]


def posits(a: Any, name: str) -> Array:
    """``a`` as an array of a posit dtype; TypeError, which calls it ``name``, for any other."""
    refuse_mask(a, name)
    array = np.asarray(a)
    if not _is_posit(array):
        raise TypeError(
            f"{name}: expected an array of a posit dtype, got {array.dtype};"
            " x.astype(posit.dtype(...)) rounds numbers to one"
        )
    return array


def totals(a: Array) -> Array:
    """Σ a over the last axis of a posit array, exact, rounded once."""
    spec: PositSpec = a.dtype.spec  # type: ignore[attr-defined]
    one = view(np.array(spec.one, dtype=spec.storage), spec)
    found: Array = np.vecdot(a, np.broadcast_to(one, a.shape[-1:]))
    return found


def dot(a: npt.ArrayLike, b: npt.ArrayLike) -> Any:
    """The dot product, with the shapes of ``np.dot``; each element is exact and rounded once.

    Parameters
    ----------
    a, b : posit arrays, or one posit array and one of integers or booleans
        Of any shapes: the last axis of ``a`` is summed with the last but one of ``b`` (its only one
        if it has one), and where one is 0-d, the two are multiplied. Integers and booleans are
        rounded to the format of the other, as ``a @ b`` does; formats of one <rs,es> family widen.

    Returns
    -------
    posit array of shape (\\*a.shape[:-1], \\*b.shape[:-2], b.shape[-1]); a Posit where that is ().
    NaR where a summed product has NaR, 0 where none is summed.

    Raises
    ------
    TypeError
        For other dtypes, masked arrays, or formats of two families.
    ValueError
        For axes of unlike lengths, or an element that is no pattern of its format.

    Source: Posit Standard (2022), 5.11 (quire operations); docs/quire.md.
    """
    x, y = _operands({"a": a, "b": b})
    if x.ndim == 0 or y.ndim == 0:
        return np.multiply(x, y)
    if y.ndim <= 2:
        return np.matmul(x, y)
    rest = (*y.shape[:-2], y.shape[-1])
    flat = np.moveaxis(y, -2, 0).reshape(y.shape[-2], prod(rest))
    return np.matmul(x, flat).reshape(*x.shape[:-1], *rest)


def einsum(subscripts: str, *operands: npt.ArrayLike) -> Any:
    """``np.einsum`` of one or two posit arrays; each element is exact and rounded once.

    Parameters
    ----------
    subscripts : str
        As NumPy reads it, such as ``"ij,jk->ik"``, ``"ii"`` or ``"...i,...i->..."``: a letter for
        each axis, ``...`` for all others, and the same letter twice in one operand for a diagonal.
        What the output leaves out is summed; without ``->`` it is ``...`` and the letters that
        occur once, sorted.
    operands : one or two posit arrays, or one and one of integers or booleans
        Axes of one letter, and those of ``...`` from the last on, have equal lengths, or 1 in one
        operand. Integers and booleans are rounded to the format of the other, as ``a @ b`` does;
        formats of one <rs,es> family widen.

    Returns
    -------
    posit array with an axis for each of the output's; a Posit where it has none. A view of a single
    operand of which nothing is summed. NaR where a summed product has NaR, 0 where none is summed.

    Raises
    ------
    TypeError
        For other dtypes, masked arrays, formats of two families, or subscripts that are no text.
    ValueError
        For three or more operands: a product of three posits does not fit a quire, so that it could
        not be rounded once. For subscripts that do not fit the operands or leave out the axes of
        ``...``, axes of unlike lengths, or an element that is no pattern of its format.

    Source: Posit Standard (2022), 5.11 (quire operations); docs/quire.md.
    """
    if not isinstance(subscripts, str):
        raise TypeError(
            f"einsum: the subscripts come first, as text such as 'ij,jk->ik', got"
            f" {type(subscripts).__name__}"
        )
    if len(operands) not in (1, 2):
        raise ValueError(
            f"einsum of {len(operands)} operands: a quire holds products of two posits; multiply"
            " pairs first, rounding in between"
        )
    arrays = _operands({f"operand {i}": x for i, x in enumerate(operands)})
    inputs, output = _read(subscripts, [x.ndim for x in arrays])
    views = [_diagonal(x, labels) for x, labels in zip(arrays, inputs, strict=True)]
    if len(views) == 2:
        return _pair(views[0], views[1], output)
    x, labels = views[0]
    summed = [c for c in labels if c not in output]
    x = x.transpose([labels.index(c) for c in output + summed])
    if summed:
        kept, rest = x.shape[: len(output)], x.shape[len(output) :]
        x = totals(x.reshape(*kept, prod(rest)))
    return x[()]  # no array without axes


def _is_posit(x: Array) -> bool:
    return isinstance(getattr(x.dtype, "spec", None), PositSpec)


def _operands(given: dict[str, Any]) -> list[Array]:
    """Posit arrays; integers and booleans beside one are rounded to its format."""
    formats = [x.dtype for x in map(np.asarray, given.values()) if _is_posit(x)]

    def read(name: str, x: Any) -> Array:
        whole = formats and not np.ma.isMA(x) and np.asarray(x).dtype.kind in "biu"
        return np.asarray(x).astype(formats[0]) if whole else posits(x, name)

    return [read(name, x) for name, x in given.items()]


def _read(text: str, dimensions: Sequence[int]) -> tuple[list[Labels], Labels]:
    """The labels of each operand's axes and of the output's (NumPy's rule if it is left out)."""
    left, arrow, right = text.replace(" ", "").partition("->")
    terms = left.split(",")
    if len(terms) != len(dimensions):
        raise ValueError(
            f"einsum: {text!r} does not fit {len(dimensions)} operand(s): it names {len(terms)}"
        )
    hidden = [n - len(t.replace("...", "")) for t, n in zip(terms, dimensions, strict=True)]
    inputs = [_labels(t, max(0, k)) for t, k in zip(terms, hidden, strict=True)]
    for term, labels, n in zip(terms, inputs, dimensions, strict=True):
        if len(labels) != n:
            raise ValueError(f"einsum: {term!r} does not name the {n} axes of an operand")
    every = [c for labels in inputs for c in labels]
    most = max(0, *hidden) if "..." in left else 0
    if arrow:
        output = _labels(right, most)
    else:
        once = {c for c in every if isinstance(c, str) and every.count(c) == 1}
        output = [*range(-most, 0), *sorted(once)]
    if most and -1 not in output:
        raise ValueError(f"einsum: output {right!r} leaves out '...', whose axes are not summed")
    if len(set(output)) != len(output) or not set(output) <= set(every):
        raise ValueError(f"einsum: output {right!r} repeats a letter or names a new one")
    return inputs, output


def _labels(term: str, hidden: int) -> Labels:
    head, dots, tail = term.partition("...")
    if not all(c.isascii() and c.isalpha() for c in head + tail):
        raise ValueError(f"einsum: {term!r} does not consist of letters and at most one '...'")
    return [*head, *(range(-hidden, 0) if dots else ()), *tail]


def _diagonal(x: Array, labels: Labels) -> tuple[Array, Labels]:
    """A view with one axis for each label, and its labels."""
    for c in dict.fromkeys(labels):
        while labels.count(c) > 1:
            i = labels.index(c)
            j = labels.index(c, i + 1)
            if x.shape[i] != x.shape[j]:
                raise ValueError(f"einsum: {c!r} is {x.shape[i]} and {x.shape[j]} in one operand")
            x = x.diagonal(axis1=i, axis2=j)  # the last axis of the view
            labels = [*(d for k, d in enumerate(labels) if k not in (i, j)), c]
    return x, labels


def _pair(one: tuple[Array, Labels], other: tuple[Array, Labels], output: Labels) -> Any:
    """Two operands as one batched matrix product: (batch, left, K)·(batch, K, right)."""
    sizes: dict[Label, int] = {}
    for x, labels in (one, other):
        for c, n in zip(labels, x.shape, strict=True):
            known = sizes.get(c, 1)
            if n != known and 1 not in (n, known):
                name = repr(c) if isinstance(c, str) else f"axis {c} of '...'"
                raise ValueError(f"einsum: {name} is {known} in one operand and {n} in the other")
            sizes[c] = n if known == 1 else known
    first, second = one[1], other[1]
    batch = [c for c in output if c in first and c in second]
    left = [c for c in output if c in first and c not in second]
    right = [c for c in output if c not in first]
    inner = [c for c in dict.fromkeys(first + second) if c not in output]

    def arranged(operand: tuple[Array, Labels], *groups: Labels) -> Array:
        x, labels = operand
        order = [c for group in groups for c in group]
        x = x.transpose([labels.index(c) for c in order if c in labels])
        x = x[tuple(slice(None) if c in labels else np.newaxis for c in order)]
        shape = [prod(sizes[c] for c in group) for group in groups]
        return np.broadcast_to(x, [sizes[c] for c in order]).reshape(shape)

    product = np.matmul(arranged(one, batch, left, inner), arranged(other, batch, inner, right))
    order = batch + left + right
    shaped = product.reshape([sizes[c] for c in order])
    return shaped.transpose([order.index(c) for c in output])[()]  # no array without axes
