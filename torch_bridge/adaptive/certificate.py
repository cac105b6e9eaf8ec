"""What a model version promises, in a text that its weights can be checked against.

[A] A version carries a certificate, and only one that passes its check may enter the active path.
[ours] What it says, and how: for each tensor its numbers (a posit format or a dtype), its shape,
and, where it holds multivectors packed by blade mask, the algebra and the masks; the quire in which
the model's sums are taken, with a bound on the products of one sum against its carry guard; and the
SHA-256 of the weights. All of it follows again from a safetensors file and the JSON; nothing in
either is executed. Who signs it is :mod:`torch_bridge.adaptive.versions`' business.
"""

from __future__ import annotations

import dataclasses
import json
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from operator import index
from typing import Any, Self

from posit import PositSpec
from posit.spec import SpecLike
from quire import Layout

from ._weights import (
    Arrays,
    State,
    arrays_of,
    digest,
    format_of,
    hash_of,
    largest,
    numbers_of,
    text_of,
    unfit,
)

__all__ = ["Certificate", "CertificateError", "Form", "QuireBound", "State", "certify", "hash_of"]

VERSION = 1

Multivectors = Mapping[str, tuple[Sequence[int], Sequence[int]]]


class CertificateError(ValueError):
    """A certificate that does not hold; the text lists all that is wrong."""


@dataclass(frozen=True)
class QuireBound:
    """That no sum of the model can outgrow the quire it is taken in.

    Parameters
    ----------
    format : str
        Of the operands, ``n,rs,es``. The quire is ``Layout.exact`` of it.
    products : int
        The most products that one sum takes.
    guard, width, lsb : int
        The layout's carry-guard bits, width in bits, and log2 of its lowest bit.

    Source: quire/layout.py: sums of up to 2^guard - 1 products of any size are exact.
    """

    format: str
    products: int
    guard: int
    width: int
    lsb: int

    @classmethod
    def of(cls, spec: PositSpec, products: int) -> Self:
        """The bound of a format, whether it holds or not."""
        layout = Layout.exact(spec)
        return cls(text_of(spec), products, layout.guard, layout.width, layout.lsb)

    def objections(self, longest: int) -> list[str]:
        """What is wrong with it; ``longest`` products at least are taken."""
        spec = PositSpec.parse(self.format)
        wrong = []
        if self != (due := self.of(spec, self.products)):
            wrong.append(f"the quire of {spec} is {due}, not {self}")
        capacity = Layout.exact(spec).capacity
        if self.products > capacity:
            wrong.append(
                f"sums of {self.products} products: with {due.guard} carry-guard bits the quire of"
                f" {spec} holds {capacity} of any size"
            )
        if self.products < longest:
            wrong.append(f"sums of {self.products} products are stated, but one over a tensor of"
                         f" the model may take {longest}")  # fmt: skip
        return wrong


@dataclass(frozen=True)
class Form:
    """What a tensor is, but for its elements.

    Parameters
    ----------
    numbers : str
        ``n,rs,es`` of posits, else the name of NumPy's dtype.
    shape : tuple of int
    algebra : (p, q, r), optional
        The tensor holds multivectors of Cl(p, q, r), coefficients along its last axis.
    blades : tuple of int
        The blade masks of these, in their order; empty where there is no algebra.
    """

    numbers: str
    shape: tuple[int, ...]
    algebra: tuple[int, int, int] | None = None
    blades: tuple[int, ...] = ()

    def objections(self) -> list[str]:
        """What is wrong with algebra and masks."""
        if self.algebra is None:
            return ["it has blade masks, but no algebra"] if self.blades else []
        wrong, last = [], self.shape[-1] if self.shape else 0
        if min(self.algebra) < 0:
            wrong.append(f"there is no algebra {self.algebra}")
        outside = [
            mask for mask in self.blades if mask < 0 or mask.bit_length() > sum(self.algebra)
        ]
        if outside:
            wrong.append(f"{outside[0]} is no blade mask of Cl{self.algebra}")
        if len(set(self.blades)) < len(self.blades):
            wrong.append("a blade mask stands twice")
        if len(self.blades) != last:
            wrong.append(f"{len(self.blades)} blade masks for {last} coefficients")
        return wrong


@dataclass(frozen=True)
class Certificate:
    """What a version promises; :func:`certify` makes one, :meth:`check` holds weights against it.

    Parameters
    ----------
    model : str
        Which model this is a version of.
    serial : int
        Counts its versions: each is above those before it.
    tensors : dict of str to Form
    quire : QuireBound or None
        None for a model without posits.
    weights : str
        :func:`hash_of` them.
    """

    model: str
    serial: int
    tensors: Mapping[str, Form]
    quire: QuireBound | None
    weights: str

    def check(self, state: State) -> None:
        """Raise :class:`CertificateError` unless all of it is true of the weights."""
        arrays = arrays_of(state)
        wrong = [f"the weights are not the certified ones: SHA-256 {found}, not {self.weights}"
                 for found in [digest(arrays)] if found != self.weights]  # fmt: skip
        wrong += _differences(self.tensors, _forms(arrays, self.tensors))
        for name, form in self.tensors.items():
            wrong += [f"{name}: {why}" for why in form.objections()]
        wrong += [f"{name}: it holds {what}" for name, x in arrays.items() if (what := unfit(x))]
        if self.quire is not None:
            wrong += self.quire.objections(1 + largest(arrays))
        elif largest(arrays):
            wrong.append("it states no quire, but there are posits")
        if wrong:
            raise CertificateError("the certificate does not hold: " + "; ".join(wrong))

    def fits(self, other: Certificate) -> None:
        """Raise :class:`CertificateError` unless this can take the other's place: the same model,
        tensors, algebras, blades and format. Weights, serial and products may differ."""
        wrong = []
        if self.model != other.model:
            wrong.append(f"it is of model {self.model!r}, not {other.model!r}")
        here, there = (c.quire and c.quire.format for c in (self, other))
        if here != there:
            wrong.append(f"its sums are of {here}, not of {there}")
        wrong += _differences(self.tensors, other.tensors)
        if wrong:
            raise CertificateError("the certificate is not for this place: " + "; ".join(wrong))

    def to_json(self) -> str:
        """Text that :meth:`from_json` reads."""
        made = {"certificate": VERSION, **dataclasses.asdict(self)}
        return json.dumps(made, indent=1, sort_keys=True, allow_nan=False) + "\n"

    @classmethod
    def from_json(cls, text: str | bytes) -> Self:
        """Raises :class:`CertificateError` for text that is none, or one of another version."""
        try:
            return cls._read(json.loads(text))
        except (ValueError, TypeError, KeyError, AttributeError, RecursionError) as error:
            raise CertificateError(f"no certificate of version {VERSION}: {error!r}") from None

    @classmethod
    def _read(cls, found: dict[str, Any]) -> Self:
        if found.pop("certificate") != VERSION:
            raise ValueError("another version")
        bound = found.pop("quire")
        forms = {name: _form(**form) for name, form in found.pop("tensors").items()}
        made = cls(tensors=forms, quire=None if bound is None else QuireBound(**bound), **found)
        texts, numbers = [made.model, made.weights], [made.serial]
        if made.quire is not None:
            texts.append(made.quire.format)
            numbers += [made.quire.products, made.quire.guard, made.quire.width, made.quire.lsb]
            PositSpec.parse(made.quire.format)
        if not all(type(x) is str for x in texts) or not all(type(x) is int for x in numbers):
            raise TypeError("a text or a whole number is something else")
        return made


def certify(
    state: State,
    *,
    model: str,
    serial: int,
    format: SpecLike | None = None,
    products: int | None = None,
    multivectors: Multivectors | None = None,
) -> Certificate:
    """State what is true of a model's weights, to be signed.

    Parameters
    ----------
    state : Module, or dict of tensors
        As for :func:`torch_bridge.save_safetensors`.
    model : str
    serial : int
        Above those of all versions before it.
    format : format, optional
        In which the model computes; by default the one that its posits have.
    products : int, optional
        The most products that one sum takes, in training too if that is to be certified. By default
        one more than the largest tensor has elements, which bounds every sum that takes an element
        of a tensor at most once, and a bias: linear layers, convolutions, products of multivectors.
        Attention takes as many as the sequence is long, gradients as many as the batch has rows.
    multivectors : dict, optional
        Names of tensors to ((p, q, r), blade masks of the last axis).

    Raises :class:`CertificateError` where it would not hold (NaR, more products than the quire is
    sure to hold, masks that do not fit), ValueError where several formats leave ``format`` open,
    for numbers that cannot be, and what is no algebra; TypeError for tensors that NumPy lacks.
    """
    if not isinstance(model, str):
        raise TypeError(f"model={model!r}: possible is a text")
    for name, value, least in (("serial", serial, 0), ("products", products, 1)):
        if value is not None and (type(value) is not int or value < least):
            raise ValueError(f"{name}={value!r}: possible are integers (int) from {least}")
    arrays, given = arrays_of(state), multivectors or {}
    if unknown := given.keys() - arrays.keys():
        raise ValueError(f"multivectors: there is no tensor {min(unknown)!r}")
    forms = {
        name: Form("", (), _triple(name, algebra), tuple(map(int, masks)))
        for name, (algebra, masks) in given.items()
    }
    spec = format_of(arrays) if format is None else PositSpec.parse(format)
    longest = 1 + largest(arrays) if products is None else products
    bound = None if spec is None else QuireBound.of(spec, longest)
    made = Certificate(model, serial, _forms(arrays, forms), bound, digest(arrays))
    made.check(state)
    return made


def _triple(name: str, algebra: Sequence[int]) -> tuple[int, int, int]:
    try:
        p, q, r = map(index, algebra)
    except (TypeError, ValueError):
        raise ValueError(
            f"multivectors: the algebra of {name!r} is (p, q, r), got {algebra!r}"
        ) from None
    return p, q, r


def _forms(arrays: Arrays, declared: Mapping[str, Form]) -> dict[str, Form]:
    """Of tensors as they are, with the algebras that are declared for them."""
    plain = Form("", ())
    return {
        name: dataclasses.replace(declared.get(name, plain), numbers=numbers_of(x), shape=x.shape)
        for name, x in arrays.items()
    }


def _form(numbers: str, shape: list[int], algebra: list[int] | None, blades: list[int]) -> Form:
    whole = [*shape, *(algebra or ()), *blades]
    if type(numbers) is not str or not all(type(x) is int for x in whole):
        raise TypeError("a text or a whole number is something else")
    if algebra is not None and len(algebra) != 3:
        raise ValueError(f"no algebra: {algebra}")
    triple = None if algebra is None else (algebra[0], algebra[1], algebra[2])
    return Form(numbers, tuple(shape), triple, tuple(blades))


def _differences(stated: Mapping[str, Form], found: Mapping[str, Form]) -> list[str]:
    wrong = []
    for name in sorted(stated.keys() | found.keys()):
        here, there = stated.get(name), found.get(name)
        if here != there:
            wrong.append(
                f"{name}: {here or 'nothing'} is stated, and {there or 'nothing'} is there"
            )
    return wrong
