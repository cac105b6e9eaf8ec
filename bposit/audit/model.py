"""A model's layers in every format: each alone, and each fed what the format delivered.

Both runs are of a copy in float64 and eval mode, on one thread. Where a layer is a matrix product
its reference is exact (linear.py); elsewhere it is float64, and an SQNR beyond the ``ceiling`` that
this sets says only "at least".
"""

from __future__ import annotations

import zlib
from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass, field
from typing import Any, Self

import numpy as np

import posit
import quire

from ..errors import BadInput
from . import linear, recommend, report, training
from .figures import Block, Errors, Exponents, ordered_distance
from .formats import BLOCK, F8, Format, PositFormat, finite_amax, parse_all
from .linear import Accumulate, default_mode
from .sweep import DEFAULT_FORMATS

__all__ = ["DEFAULT_SAMPLE", "Audit"]

DEFAULT_SAMPLE = 1024
_GROWTH = 8.0  # float64 roundings on the way to an element, for each one of its row: a bound


@dataclass
class _Known:
    """What the reference run found of one call, and every format's own errors there."""

    name: str
    index: int
    kind: str
    shape: tuple[int, ...]
    where: tuple[np.ndarray, slice]
    values: F8  # the reference at the sample
    exponents: Exponents
    ceiling: float
    ceiling_so_far: float
    local: list[dict[str, Any]]
    zeros: int = 0
    nonfinite: int = 0
    rows: list[dict[str, Any]] = field(default_factory=list)


class Audit:
    """Measure a torch model while it is used.

    >>> import torch, bposit.audit
    >>> model = torch.nn.Sequential(torch.nn.Linear(8, 4), torch.nn.Tanh())
    >>> with bposit.audit.Audit(model, "bposit16,bfloat16") as audit:
    ...     _ = model(torch.ones(2, 8))
    >>> [layer["name"] for layer in audit.report["layers"]]
    ['0', '1']

    Parameters
    ----------
    model : torch.nn.Module
        It is not changed; each call of it within ``with`` is measured, as one step.
    formats : str or sequence of str
    accumulate : str, optional
        ``"per_op,float32,float64,quire"``; by default the quire for posits and float32 for others.
    sample : int
        Elements of each output that are compared with the reference; counts are of all of them.
    metric : callable, optional
        The model's output, in float64, to a number.
    chosen : callable, optional
        Name of a layer to whether it is reported; all of them run in the format.
    bound : float
        dB of cumulative SQNR that a recommended format must reach.
    progress : callable, optional
        Told 1 for each format that a call was measured in.
    """

    def __init__(
        self,
        model: Any,
        formats: str | Iterable[str | Format] = DEFAULT_FORMATS,
        *,
        accumulate: str | None = None,
        sample: int = DEFAULT_SAMPLE,
        metric: Callable[[Any], Any] | None = None,
        chosen: Callable[[str], bool] = lambda _: True,
        bound: float = recommend.BOUND,
        progress: Callable[[int], None] = lambda _: None,
    ) -> None:
        if sample < 1:
            raise BadInput(f"--sample {sample}: at least one element is compared")
        self.formats = parse_all(formats)
        self._modes = linear.modes(accumulate)
        self.pairs = [(f, m) for f in self.formats for m in self._modes or (default_mode(f),)
                      if not (m == "per_op" and f.is_scaled)]  # fmt: skip
        if not self.pairs:
            raise BadInput("--accumulate per_op: these formats scale whole tensors, and have none")
        self._model, self._sample, self._metric = model, sample, metric
        self._chosen, self._bound, self._progress = chosen, bound, progress
        self._layers: list[dict[str, Any]] = []
        self._uncovered: dict[str, int] = {}
        self._steps = 0
        self._before: dict[str, F8] = {}
        self._handle: Any = None
        self._busy = False

    def __enter__(self) -> Self:
        self._handle = self._model.register_forward_hook(self._called, with_kwargs=True)
        return self

    def __exit__(self, *error: object) -> None:
        if self._handle is not None:
            self._handle.remove()
            self._handle = None

    def _called(self, _: Any, args: Any, kwargs: Any, output: Any) -> None:
        if not self._busy:
            self._busy = True
            try:
                self.measure(*args, **kwargs)
            finally:
                self._busy = False

    @property
    def report(self) -> dict[str, Any]:
        """What was measured so far, of the schema of report.json."""
        return self.build()

    def build(self, complete: bool = True, **extra: Any) -> dict[str, Any]:
        """The report; ``extra`` are more of its parts."""
        settings = {
            "bound": self._bound,
            "accumulate": list(self._modes) or None,
            "sample": self._sample,
        }
        uncovered = [{"function": k, "calls": v} for k, v in sorted(self._uncovered.items())]
        extra = {"uncovered": uncovered, **extra}
        return report.build("model", self.formats, settings, layers=self._layers,
                            complete=complete, extra=extra)  # fmt: skip

    def measure(self, *args: Any, **kwargs: Any) -> None:
        """Measure one call of the model; what the formats finish is in the report at once."""
        from torch_bridge import audit as hooks

        shadow = hooks.shadow(self._model)
        step, self._steps = self._steps, self._steps + 1
        with hooks.single_threaded():
            known: list[_Known] = []

            def reference(call: Any, given: Any, named: Any, out: Any) -> None:
                known.append(self._reference(call, given, named, out, known))

            exact = hooks.run(shadow, args, kwargs, reference)
            self._uncovered = exact.between
            moved = self._updates(hooks.units(shadow))
            entries = [self._entry(k, depth, step) for depth, k in enumerate(known)]
            self._layers += [e for k, e in zip(known, entries, strict=True)
                             if self._chosen(k.name)]  # fmt: skip
            for i, (form, mode) in enumerate(self.pairs):
                self._cumulative(shadow, args, kwargs, known, i, form, mode, exact, moved)
                self._progress(1)
            for known_call, entry in zip(known, entries, strict=True):
                entry["narrowest"] = recommend.narrowest(
                    known_call.rows, self.formats, self._bound, "cumulative_sqnr"
                )

    def _entry(self, k: _Known, depth: int, step: int) -> dict[str, Any]:
        start, counts = k.exponents.bins
        return {
            "name": k.name, "kind": k.kind, "call": k.index, "step": step, "depth": depth,
            "shape": list(k.shape), "sample": int(k.values.size),
            "exponents": {"start": start, "counts": counts}, "narrowest": None, "rows": k.rows,
        }  # fmt: skip

    def _where(self, name: str, index: int, shape: tuple[int, int]) -> tuple[np.ndarray, slice]:
        """Some rows of some whole blocks: which, the name and the call alone decide."""
        rows, columns = shape
        seed = np.random.default_rng(zlib.crc32(f"{name}/{index}".encode()))
        wanted = max(int(self._sample**0.5), self._sample // rows)  # about a square, if it can be
        width = min(columns, -(-wanted // BLOCK) * BLOCK)
        first = int(seed.integers(0, (columns - width) // BLOCK + 1)) * BLOCK
        count = min(rows, max(1, self._sample // width))
        picked = np.sort(seed.choice(rows, count, replace=False))
        return picked, slice(first, first + width)

    def _reference(
        self, call: Any, args: Any, kwargs: Any, out: Any, known: Sequence[_Known]
    ) -> _Known:
        """Look at one call of the reference run, and measure each format on it alone."""
        from torch_bridge import audit as hooks

        first = hooks.first_float(out)
        full = np.zeros((0, 1)) if first is None else _lines(first.numpy())
        form = hooks.linear_form(call.unit, args) if not kwargs and first is not None else None
        product = None if form is None else form.rows.shape[0] * form.weight.shape[0]
        if form is not None and product == full.size:  # (M, N) rather than what it is folded to
            full = _lines(
                (form.rows @ form.weight.T + (0 if form.bias is None else form.bias)).numpy()
            )
        where = (
            self._where(call.name, call.index, full.shape)
            if full.size
            else (np.zeros(0, np.int64), slice(0, 1))
        )
        terms = full.shape[1] if form is None else form.rows.shape[1]
        ceiling = linear.CEILING if form is not None else _ceiling(terms)
        noise = sum(10.0 ** (-k.ceiling / 20) for k in known) + 10.0 ** (-_ceiling(terms) / 20)
        seen = _Known(
            name=call.name,
            index=call.index,
            kind=type(call.unit).__name__,
            shape=() if first is None else tuple(first.shape),
            where=where,
            values=full[np.ix_(where[0], _range(where))] if full.size else full,
            exponents=Exponents.of(full),
            ceiling=ceiling,
            ceiling_so_far=-20 * float(np.log10(noise)),
            local=[],
            zeros=int(full.size - np.count_nonzero(full)),
            nonfinite=int(np.count_nonzero(~np.isfinite(full))),
        )
        if self._chosen(call.name) and full.size:
            alone = self._linear_alone if form is not None else self._other_alone
            seen.local = alone(call, args, kwargs, form, seen, full)
        return seen

    def _linear_alone(  # noqa: PLR0917
        self, call: Any, args: Any, kwargs: Any, form: Any, seen: _Known, full: F8
    ) -> list[dict[str, Any]]:
        picked, columns = seen.where
        x, w = form.rows.numpy(), form.weight.detach().numpy()
        b = None if form.bias is None else form.bias.detach().numpy()
        some = (x[picked], w[columns], None if b is None else b[columns])
        y0 = linear.exact_product(*some)
        lost = linear.cancellation(*some, y0)
        shared = {"cancellation_median": lost.median, "cancellation_p99": lost.p99,
                  "cancellation_max": lost.max, "cancellation_total": lost.total}  # fmt: skip
        found = []
        for f, mode in self.pairs:
            held = (_held(some[0], f, x), _held(some[1], f, w),
                    None if b is None or some[2] is None else _held(some[2], f, b))  # fmt: skip
            y1 = linear.exact_product(*held)
            y2 = y1 if mode == "quire" else linear.accumulated(*held, f, mode, _product)
            y3 = _held(y2, f, full)
            found.append(
                {**_alone(y0, y3, f, full), **linear.parts(y0, y1, y2, y3).row(), **shared}
            )
        return found

    def _other_alone(  # noqa: PLR0917
        self, call: Any, args: Any, kwargs: Any, form: Any, seen: _Known, full: F8
    ) -> list[dict[str, Any]]:
        found = []
        for f, _ in self.pairs:
            out = _applied(call.unit, args, kwargs, f)
            y1 = _lines(out.numpy())
            y0, some = seen.values, y1[np.ix_(seen.where[0], _range(seen.where))]
            y3 = _held(some, f, full)
            found.append({**_alone(y0, y3, f, full), **linear.parts(y0, some, some, y3).row()})
        return found

    def _cumulative(  # noqa: PLR0917
        self, shadow: Any, args: Any, kwargs: Any, known: list[_Known], i: int, form: Format,
        mode: Accumulate, exact: Any, moved: dict[str, tuple[F8, F8]],
    ) -> None:  # fmt: skip
        """Run in a format, each unit fed with what the one before delivered."""
        import torch

        from torch_bridge import audit as hooks

        place = iter(range(len(known)))
        units = hooks.units(shadow)
        rows: list[dict[str, Any] | None] = []

        def deliver(call: Any, given: Any, named: Any, out: Any) -> Any:
            product = hooks.linear_form(call.unit, given) if not named else None
            at = next(place, None)
            if product is not None:
                made, wide_sum = _delivered(product, form, mode)
                y2: F8 | None = wide_sum
                first: F8 | None = _lines(made)
                result = product.fold(torch.from_numpy(made))
            else:
                wide = _outputs(call.unit, given, named, form)
                one = hooks.first_float(wide)
                y2 = None if one is None else _lines(one.numpy())
                result = hooks.map_floats(lambda t: _quantized(t, form), wide)
                one = hooks.first_float(result)
                first = None if one is None else _lines(one.numpy())
            if at is not None and (call.name, call.index) == (known[at].name, known[at].index):
                rows.append(_row(known[at], i, form, mode, first, y2))
            return result

        done = hooks.run(shadow, args, kwargs, deliver)
        diverged = done.calls != exact.calls
        change = None
        if self._metric is not None:
            change = float(self._metric(done.output)) - float(self._metric(exact.output))
        for k, row in zip(known, rows, strict=False):
            if row is None or not self._chosen(k.name):
                continue
            row["metric_change"], row["diverged"] = change, diverged
            if diverged:  # the calls no longer mean the same
                row.update(cumulative_sqnr=None, cumulative_exact=False, cumulative_failed=True)
            lost, updates = 0, 0
            for parameter, (w, u) in moved.items():
                if parameter.rpartition(".")[0] == k.name:
                    more = training.stagnation(w, u, form)
                    lost, updates = lost + more[0], updates + more[1]
            row["stagnation"] = lost / updates if updates else None
            row["versor_defect"] = training.versor_defect(units[k.name], form)
            k.rows.append(row)

    def _updates(self, units: dict[str, Any]) -> dict[str, tuple[F8, F8]]:
        """Each parameter before and its change since the call before."""
        now = {f"{name}.{p}": x.detach().numpy() for name, unit in units.items()
               for p, x in unit.named_parameters(recurse=False)}  # fmt: skip
        before, self._before = self._before, now
        same = [n for n in now if n in before and before[n].shape == now[n].shape]
        return {name: (before[name], now[name] - before[name]) for name in same}


def _ceiling(terms: int) -> float:
    """dB up to which float64 can be believed over so many terms: 2^-53·8·terms at most wrong."""
    return float(-20 * np.log10(_GROWTH * max(terms, 1) * 2.0**-53))


def _range(where: tuple[np.ndarray, slice]) -> np.ndarray:
    return np.arange(where[1].start, where[1].stop)


def _lines(x: Any) -> F8:
    y = np.asarray(x, np.float64)
    return np.ascontiguousarray(y.reshape(-1, y.shape[-1]) if y.ndim > 1 else y.reshape(1, -1))


def _held(x: F8, form: Format, whole: F8) -> F8:
    """Part of a tensor as a format holds it; the scale is that of the whole."""
    return form.round(x, finite_amax(whole) if form.needs_amax else 0.0)


def _quantized(x: Any, form: Format) -> Any:
    import torch

    return torch.from_numpy(form.round(x.detach().numpy()))


def _product(rows: F8, weight: F8, kind: type[np.floating[Any]]) -> F8:
    import torch

    a, b = (torch.from_numpy(np.ascontiguousarray(x, kind)) for x in (rows, weight))
    return np.asarray((a @ b.T).numpy(), np.float64)


def _delivered(product: Any, form: Format, mode: Accumulate) -> tuple[F8, F8]:
    if isinstance(form, PositFormat) and mode == "quire" and form.spec.fits_float64:
        return _in_a_quire(product, form)
    x, w = (form.round(t.detach().numpy()) for t in (product.rows, product.weight))
    b = None if product.bias is None else form.round(product.bias.detach().numpy())
    y2 = linear.accumulated(x, w, b, form, mode, _product)
    return form.round(y2), y2


def _in_a_quire(product: Any, form: PositFormat) -> tuple[F8, F8]:
    """The exact product rounded once, and about what it was before, by which saturations tell."""
    a, b = (posit.encode(t.detach().numpy(), form.spec) for t in (product.rows, product.weight))
    add = None
    if product.bias is not None:
        add = posit.encode(product.bias.detach().numpy(), form.spec)
        add = np.broadcast_to(add, (len(a), len(b)))
    made = quire.matmul(a, np.ascontiguousarray(b.T), form.spec, add=add, threads=1)
    y3 = np.asarray(posit.decode(made, form.spec))
    y2 = product.rows @ product.weight.T + (0 if product.bias is None else product.bias)
    return y3, y2.detach().numpy()


def _outputs(unit: Any, args: Any, kwargs: Any, form: Format) -> Any:
    """What a unit gives in float64 with parameters and arguments that are the format's."""
    import torch

    from torch_bridge import audit as hooks

    held = {name: _quantized(p, form) for name, p in unit.named_parameters()}
    quantize = lambda t: _quantized(t, form)  # noqa: E731
    with torch.no_grad():
        return torch.func.functional_call(
            unit, held, hooks.map_floats(quantize, args), hooks.map_floats(quantize, kwargs)
        )


def _applied(unit: Any, args: Any, kwargs: Any, form: Format) -> Any:
    from torch_bridge import audit as hooks

    return hooks.first_float(_outputs(unit, args, kwargs, form))


def _alone(y0: F8, y3: F8, form: Format, whole: F8) -> dict[str, Any]:
    """The figures of a layer alone, over its sample."""
    errors = Errors()
    errors.add(Block(y0), y3, form)
    scale = form.scales(y0, finite_amax(whole))
    found = errors.row()
    kept = ("relative_max", "relative_p999", "digits_min", "digits_p1", "digits_median")
    return {
        "local_sqnr": found["sqnr"], "local_exact": found["exact"], "local_failed": found["failed"],
        **{k: found[k] for k in kept}, "ulps": ordered_distance(y3 / scale, y0 / scale, form),
    }  # fmt: skip


def _row(  # noqa: PLR0917
    known: _Known, i: int, form: Format, mode: Accumulate, y3: F8 | None, y2: F8 | None
) -> dict[str, Any] | None:
    """A layer's row: what it does alone, what it delivered, and counts over all of that."""
    if y3 is None or y2 is None or not known.local:
        return None
    counts, cumulative = Errors(), Errors()
    scale = form.scales(y2, finite_amax(y2))
    counts.add(Block(y2), y3, form, Block(y2 / scale) if form.is_scaled else None)
    same = y3.shape[0] > int(known.where[0].max(initial=-1)) and y3.shape[1] >= known.where[1].stop
    if same:
        some = y3[np.ix_(known.where[0], _range(known.where))]
        cumulative.add(Block(known.values), some, form)
    found, told = cumulative.row(), counts.row()
    told["infinite"] = int(np.count_nonzero(np.isinf(y3)))  # sums may overflow by themselves
    lost = told["nar"] + told["infinite"] > known.nonfinite
    bits = known.exponents.fraction_bits(form)
    nonzero = sum(bits.values())
    return {
        "format": form.name, "accumulate": mode, "n": int(y3.size), "zeros": known.zeros,
        "nonfinite": known.nonfinite,
        **{k: told[k] for k in ("saturated", "to_minpos", "to_zero", "infinite", "nar", "inexact")},
        "cumulative_sqnr": found["sqnr"], "cumulative_exact": found["exact"],
        "cumulative_failed": found["failed"] or lost,
        **_EMPTY, **known.local[i], "failed": known.local[i]["local_failed"],
        "exact": known.local[i]["local_exact"],
        "ceiling": known.ceiling_so_far, "local_ceiling": known.ceiling,
        "bytes": form.bytes_of(known.shape),
        "fovea": bits.get(form.most_fraction_bits, 0) / nonzero if nonzero else None,
        "versor_defect": None,
    }  # fmt: skip


_EMPTY: dict[str, Any] = {
    "cancellation_median": None, "cancellation_p99": None, "cancellation_max": None,
    "cancellation_total": None,
}  # fmt: skip
