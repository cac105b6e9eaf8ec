"""A model's layers in every format: each alone, and each fed what the format delivered.

Both runs are of a copy in float64 and eval mode, on one thread. Where a layer is a matrix product
its reference is exact (linear.py); elsewhere it is float64, and an SQNR beyond the ``ceiling`` that
this sets says only "at least".
"""

from __future__ import annotations

from collections.abc import Callable, Iterable
from math import isfinite
from typing import Any, Self

import numpy as np

from ..errors import BadInput
from . import delivery, layers, linear, recommend, report, training
from .formats import Format, parse_all
from .layers import Known, Pair
from .linear import default_mode
from .sweep import DEFAULT_FORMATS

__all__ = ["DEFAULT_SAMPLE", "Audit"]

DEFAULT_SAMPLE = 1024


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
    best : int, optional
        Also search the best ``<n, rs, es>`` of this n for each output; measured on the sample.
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
        best: int | None = None,
        progress: Callable[[int], None] = lambda _: None,
    ) -> None:
        if sample < 1:
            raise BadInput(f"--sample {sample}: at least one element is compared")
        self.formats = parse_all(formats)
        self._modes = linear.modes(accumulate)
        self.pairs: list[Pair] = [
            (f, mode)
            for f in self.formats
            for mode in self._modes or (default_mode(f),)
            if not (mode == "per_op" and f.is_scaled)
        ]
        if not self.pairs:
            raise BadInput("--accumulate per_op: these formats scale whole tensors, and have none")
        self._model, self._sample, self._metric = model, sample, metric
        self._chosen, self._bound, self._progress = chosen, bound, progress
        self._best = best
        self._layers: list[dict[str, Any]] = []
        self._uncovered: dict[str, int] = {}
        self._steps = -1
        self._followed = False
        self._weights = training.Weights(self.formats)
        self._handle: Any = None
        self._busy = False

    def __deepcopy__(self, _: Any) -> Self:
        """Copies of the model, which has a hook of this, are no audits of their own."""
        return self

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
            "best": self._best,
            "sample": self._sample,
        }
        uncovered = [{"function": k, "calls": v} for k, v in sorted(self._uncovered.items())]
        extra = {"uncovered": uncovered, **extra}
        return report.build("model", self.formats, settings, layers=self._layers,
                            complete=complete, extra=extra)  # fmt: skip

    def follow(self) -> None:
        """Take the weights as they are, as one more step; a measured call does so by itself.

        Call it after each step of an optimizer where not every call of the model is measured:
        ``stagnation`` and ``drift_sqnr`` then see each update, and not only their sum.
        """
        import torch

        from torch_bridge import audit as hooks

        self._weights.step(
            {
                (name, p): x.detach().to(torch.float64, copy=True).numpy()
                for name, unit in hooks.units(self._model).items()
                for p, x in unit.named_parameters()
            }
        )
        self._steps += 1
        self._followed = True

    def measure(self, *args: Any, **kwargs: Any) -> None:
        """Measure one call of the model; what the formats finish is in the report at once."""
        from torch_bridge import audit as hooks

        if not self._followed:
            self.follow()
        self._followed, step = False, self._steps
        shadow = hooks.shadow(self._model)
        with hooks.single_threaded():
            known: list[Known] = []

            def reference(call: Any, given: Any, named: Any) -> Any:
                before = call, given, named
                if type(call.unit) not in hooks.PRODUCTS:  # others may change what they are given
                    before = call.apart(), *hooks.map_floats(lambda t: t.clone(), (given, named))
                out = call.forward(*given, **named)
                known.append(self._reference(*before, out, known))
                return out

            exact = hooks.run(shadow, args, kwargs, reference)
            self._uncovered = exact.between
            entries = [self._entry(k, depth, step) for depth, k in enumerate(known)]
            self._layers += [e for k, e in zip(known, entries, strict=True)
                             if self._chosen(k.name)]  # fmt: skip
            for i in range(len(self.pairs)):
                self._cumulative(shadow, args, kwargs, known, i, exact)
                self._progress(1)
            for known_call, entry in zip(known, entries, strict=True):
                entry["narrowest"] = recommend.narrowest(
                    known_call.rows, self.formats, self._bound, "cumulative_sqnr"
                )
        self._weights.begin()

    def _entry(self, k: Known, depth: int, step: int) -> dict[str, Any]:
        start, counts = k.exponents.bins
        best = []
        if self._best is not None and k.values.size and self._chosen(k.name):
            best = layers.best(k, self._best)
        return {
            "name": k.name, "kind": k.kind, "call": k.index, "step": step, "depth": depth,
            "shape": list(k.shape), "sample": int(k.values.size), "seed": k.seed,
            "exponents": {"start": start, "counts": counts}, "narrowest": None, "best": best,
            "rows": k.rows,
        }  # fmt: skip

    def _reference(
        self, call: Any, args: Any, kwargs: Any, out: Any, before: Iterable[Known]
    ) -> Known:
        """Look at one call of the reference run, and measure each format on it alone."""
        from torch_bridge import audit as hooks

        first = hooks.first_float(out)
        form = hooks.linear_form(call.unit, args) if not kwargs and first is not None else None
        if first is None:
            whole = np.zeros((0, 1))
        else:
            whole = layers.table(first.numpy() if form is None else form.unfold(first).numpy())
        known = layers.seen(call, form, first, whole, self._sample, before)
        if self._chosen(call.name) and whole.size:
            known.local = layers.alone(call, args, kwargs, form, known, whole, self.pairs)
        return known

    def _cumulative(  # noqa: PLR0917
        self, shadow: Any, args: Any, kwargs: Any, known: list[Known], i: int, exact: Any
    ) -> None:
        """Run in a format, each unit fed with what the one before delivered."""
        from torch_bridge import audit as hooks

        form, mode = self.pairs[i]
        place = iter(known)
        rows: list[tuple[Known, dict[str, Any]]] = []

        def deliver(call: Any, given: Any, named: Any) -> Any:
            result, y3, counts = delivery.delivered(call, given, named, form, mode)
            k = next(place, None)
            if k is not None and (k.name, k.index) == (call.name, call.index) and k.local:
                assert y3 is not None
                row = delivery.row(k, i, form, mode, y3, counts)
                row["versor_defect"] = training.versor_defect(call.unit, form)
                rows.append((k, row))
            return result

        done = hooks.run(shadow, args, kwargs, deliver)
        shared: dict[str, Any] = {"metric_change": None, "metric_failed": False,
                                  "diverged": done.calls != exact.calls}  # fmt: skip
        if self._metric is not None:
            change = float(self._metric(done.output)) - float(self._metric(exact.output))
            shared |= {"metric_change": change, "metric_failed": not isfinite(change)}
        if shared["diverged"]:  # the calls no longer mean the same
            shared |= {"cumulative_sqnr": None, "cumulative_exact": False,
                       "cumulative_failed": True}  # fmt: skip
        for k, row in rows:
            k.rows.append({**row, **shared, **self._weights.row(k.name, form)})
