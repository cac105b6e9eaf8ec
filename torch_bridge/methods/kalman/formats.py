"""Does the format hold? One task, the digits' single pass, in six arithmetics and six forms."""

from __future__ import annotations

import hashlib
from collections.abc import Callable, Mapping
from typing import Any

import numpy as np

import posit

from .._arithmetic import Arithmetic, Array, Doubles, arithmetic
from .._harness import Run
from .._result import Experiment, Metric
from . import data
from .information import InformationFilter
from .parameters import ParameterFilter, SquareRootFilter

__all__ = ["FORMS", "NOISE", "any_order", "sixteen_bits"]

ALL = ("float64", "float32", "bfloat16", "bposit16", "bposit16 + quire", "bposit32")
ONCE = ("float64", "float32", "bfloat16", "bposit16 + quire", "bposit32")  # sums make no difference
NOISE = 0.1
"""R, with p₀ = 1, so that what is stored starts at 1."""

EXACT = {
    "float64": "bposit64", "float32": "bposit64", "bfloat16": "bposit32",
    "bposit16": "bposit16", "bposit16 + quire": "bposit16", "bposit32": "bposit32",
}  # fmt: skip
"""Formats of which every number of an arithmetic is one (|x| from 2⁻¹⁶⁰ to 2¹⁶⁰, or 0)."""


def _filtered(
    make: Callable[..., ParameterFilter | SquareRootFilter],
) -> Callable[[Arithmetic, data.Digits], tuple[Array, Doubles]]:
    def learn(to: Arithmetic, samples: data.Digits) -> tuple[Array, Doubles]:
        one = make(samples.h.shape[1], 10, noise=NOISE, arithmetic=to)
        for h, y in zip(samples.h, samples.y, strict=True):
            one.update(h, y)
        return one.weights, one.covariance.astype(np.float64)

    return learn


def _solved(information: Doubles, evidence: Doubles) -> Doubles:
    made: Doubles = np.linalg.solve(information, evidence)
    return made


def _rounded_each_step(to: Arithmetic, samples: data.Digits) -> tuple[Array, Doubles]:
    size = samples.h.shape[1]
    information, evidence = to.array(NOISE * np.eye(size)), to.array(np.zeros((size, 10)))
    for h, y in zip(to.array(samples.h), to.array(samples.y), strict=True):
        information = information + np.multiply.outer(h, h)
        evidence = evidence + np.multiply.outer(h, y)
    wide = information.astype(np.float64)
    return to.array(_solved(wide, evidence.astype(np.float64))), wide


def _rounded_once(to: Arithmetic, samples: data.Digits) -> tuple[Array, Doubles]:
    size = samples.h.shape[1]
    h, y = to.array(samples.h).astype(np.float64), to.array(samples.y).astype(np.float64)
    wide = to.array(h.T @ h + NOISE * np.eye(size)).astype(np.float64)
    return to.array(_solved(wide, to.array(h.T @ y).astype(np.float64))), wide


def _in_quires(to: Arithmetic, samples: data.Digits) -> tuple[Array, Doubles]:
    one = InformationFilter(samples.h.shape[1], 10, spec=EXACT[to.name])
    one.update(to.array(samples.h).astype(np.float64), to.array(samples.y).astype(np.float64))
    weights = one.solve(NOISE, to="bposit64").weights
    wide = posit.decode(one.information.round("bposit64"), "bposit64")
    return to.array(weights.astype(np.float64)), wide + NOISE * np.eye(len(wide))


Form = Callable[[Arithmetic, data.Digits], tuple[Array, Doubles]]
FORMS: Mapping[str, tuple[Form, tuple[str, ...], str]] = {
    "P": (_filtered(ParameterFilter), ALL, "P and W are stored in the format after each sample"),
    "P, Joseph": (
        _filtered(lambda *a, **k: ParameterFilter(*a, joseph=True, **k)), ALL,
        "the same, P updated by Joseph's formula",
    ),
    "square root": (
        _filtered(SquareRootFilter), ALL, "S with P = S·Sᵀ is stored instead, and W",
    ),
    "Λ each step": (
        _rounded_each_step, ONCE, "Λ and ξ are stored after each sample, solved in float64",
    ),
    "Λ once": (
        _rounded_once, ONCE, "Λ and ξ are summed widely, rounded to the format once, then solved",
    ),
    "Λ in quires": (
        _in_quires, ONCE, "Λ and ξ are exact sums; after the solution W is rounded",
    ),
}  # fmt: skip
"""What is stored: how to learn so, in which arithmetics, and in words."""


def sixteen_bits(run: Run) -> None:
    """Which forms of the filter bear storage in 16 bits."""
    metrics = {
        "accuracy": Metric("share of 397 digits not seen that are named rightly", "higher"),
        "weights off": Metric("|W - ridge| over |ridge|, Frobenius norms", "lower"),
        "least eigenvalue": Metric("of P (of Λ in the last three); below 0 it is no covariance"),
    }

    def trial(form: Form, name: str) -> Callable[[int], Mapping[str, Any]]:
        to = arithmetic(name)

        def measure(seed: int) -> dict[str, float]:
            samples = data.digits(seed)
            left = samples.h.T @ samples.h + NOISE * np.eye(samples.h.shape[1])
            ridge = np.linalg.solve(left, samples.h.T @ samples.y)
            with np.errstate(all="ignore"):  # some arms overflow: that is the result
                weights, matrix = form(to, samples)
                found = np.asarray(weights).astype(np.float64)
                off = np.linalg.norm(found - ridge) / np.linalg.norm(ridge)
                named = (samples.test_h @ found).argmax(axis=1)
            finite = bool(np.isfinite(matrix).all())
            least = np.linalg.eigvalsh((matrix + matrix.T) / 2)[0] if finite else np.nan
            return {
                "accuracy": float((named == samples.test_labels).mean()),
                "weights off": float(off),
                "least eigenvalue": float(least),
            }

        return measure

    for name, (form, arithmetics, words) in FORMS.items():
        about = f"One pass over 1400 digits as 256 features, R = {NOISE}, p₀ = 1: {words}."
        experiment = Experiment(name, "format", about, metrics, run.seeds)
        run.trials(experiment, {to: trial(form, to) for to in arithmetics})


def any_order(run: Run) -> None:
    """How many different results eight orders and splits of the same samples give."""

    def orders(seed: int) -> list[list[Any]]:
        """Batches of the indices of all samples, in eight ways."""
        rng = np.random.default_rng(seed)
        ways = []
        for parts in (1, 1, 2, 3, 7, 20, 100, 1400):
            ways.append(np.array_split(rng.permutation(1400), parts))
        return ways

    def sums(dtype: str) -> Callable[[data.Digits, list[Any]], bytes]:
        def learn(samples: data.Digits, batches: list[Any]) -> bytes:
            h, y = samples.h.astype(dtype), samples.y.astype(dtype)
            size = h.shape[1]
            left, right = NOISE * np.eye(size, dtype=dtype), np.zeros((size, 10), dtype)
            for batch in batches:
                left, right = left + h[batch].T @ h[batch], right + h[batch].T @ y[batch]
            return np.linalg.solve(left, right).tobytes()

        return learn

    def exact(samples: data.Digits, batches: list[Any]) -> bytes:
        total = InformationFilter(samples.h.shape[1], 10)
        for batch in batches:  # each batch a worker's, sent as bytes
            part = InformationFilter(samples.h.shape[1], 10)
            part.update(samples.h[batch], samples.y[batch])
            total.merge(InformationFilter.from_bytes(part.to_bytes(), samples.h.shape[1], 10))
        return total.to_bytes() + posit.bits(total.solve(NOISE).weights).tobytes()

    def trial(learn: Callable[[data.Digits, list[Any]], bytes]) -> Callable[[int], Any]:
        def measure(seed: int) -> dict[str, float]:
            samples = data.digits(seed)
            made = {hashlib.sha256(learn(samples, way)).digest() for way in orders(seed)}
            return {"different": len(made)}

        return measure

    metrics = {"different": Metric("weights, of 8 orders and splits of the samples", "lower")}
    about = (
        "The information form of 1400 digits, in 1, 1, 2, 3, 7, 20, 100 and 1400 batches, shuffled"
        " anew for each. In quires a batch is a filter of its own, sent as bytes and merged."
    )
    arms = {
        "float32": trial(sums("f4")), "float64": trial(sums("f8")),
        "bposit16 + quire": trial(exact),
    }  # fmt: skip
    run.trials(Experiment("any order", "exact", about, metrics, run.seeds), arms)
