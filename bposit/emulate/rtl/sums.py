"""The exact accumulator: its step, its rounding, the MAC and the processing elements."""

from __future__ import annotations

from typing import Literal

import quire

from .arithmetic import handshake, product
from .coding import Coding
from .leading import leading
from .text import any_of, filled, head, part, row, zeros

__all__ = ["DATAFLOWS", "Dataflow", "accumulate", "pe", "quire_mac", "quire_round"]

Dataflow = Literal["os", "ws"]
DATAFLOWS: tuple[Dataflow, ...] = ("os", "ws")


def _places(of: Coding) -> dict[str, object]:
    s, layout = of.spec, quire.Layout.exact(of.spec)
    return {
        "prefix": s.name,
        "n_top": s.n - 1,
        "s_width": of.scale,
        "p_top": 2 * s.f_max + 1,
        "width": layout.width,
        "w_top": layout.width - 1,
        "lsb": layout.lsb,
    }


def accumulate(of: Coding) -> dict[str, str]:
    """Modules by name, the unit's own last."""
    s, layout = of.spec, quire.Layout.exact(of.spec)
    module, p, width = f"{s.name}_accumulate", 2 * s.f_max + 2, layout.width
    least = 2 * s.min_scale
    # A product's bits reach below the quire's last one only where they are 0, as posits of those
    # scales have fewer fraction bits than f_max.
    drop = layout.lsb - (least - 2 * s.f_max)
    kept = layout.span + 1  # where f_min < 0 a product can be 2^top
    placed = kept + max(drop, 0)
    text = filled(
        "accumulate",
        **_places(of),
        head=head(module, "a product added to a sum, exactly", s),
        module=module,
        w_1=width + 1,
        p_width=p,
        bias=f"{of.scale + 1}'d{-least}",
        d_top=placed - 1,
        bits=row(zeros(placed - p - max(-drop, 0)), "bits", zeros(-drop)),
        spare=width + 1 - kept,
        kept=part("placed", placed - 1, max(drop, 0)),
        unused=f"\n    wire unused = &{{1'b0, {part('placed', drop - 1)}}};" if drop > 0 else "",
    )
    return {module: text}


def quire_round(of: Coding) -> dict[str, str]:
    """Modules by name, the unit's own last."""
    s, layout = of.spec, quire.Layout.exact(of.spec)
    module, width, f = f"{s.name}_quire_round", layout.width, s.f_max
    counter, encoder = leading(s, width), of.encoder()
    counts, highest = width.bit_length(), layout.lsb + width - 1
    size = max(-layout.lsb + 1, highest).bit_length() + 1
    scale = max(of.scale + 1, counts + 1, size)
    text = filled(
        "quire_round",
        **_places(of),
        head=head(module, "a sum, rounded once", s),
        module=module,
        leading=next(reversed(counter)),
        encoder=next(reversed(encoder)),
        c_top=counts - 1,
        scale_top=scale - 1,
        scale_width=scale,
        highest=f"{scale}'d{highest % (1 << scale)}",
        wide_leads=row(zeros(scale - counts), "leads"),
        fraction=part("normal", width - 2, width - 1 - f) or "1'b0",
        guard=f"normal[{width - 2 - f}]",
        sticky=any_of("normal", width - 3 - f),
    )
    return counter | encoder | {module: text}


def _parts(of: Coding) -> tuple[dict[str, str], dict[str, object]]:
    """All that an accumulating unit is made of, and its places."""
    inner, step, rounding = product(of), accumulate(of), quire_round(of)
    names = {
        "product": next(reversed(inner)),
        "accumulate": next(reversed(step)),
        "quire_round": next(reversed(rounding)),
    }
    return inner | step | rounding, _places(of) | names


def quire_mac(of: Coding) -> dict[str, str]:
    """Modules by name, the unit's own last."""
    module = f"{of.spec.name}_quire_mac"
    made, places = _parts(of)
    what = head(module, "products summed exactly, rounded once", of.spec)
    return made | {module: filled("quire_mac", **places, **handshake(), head=what, module=module)}


def pe(of: Coding, dataflow: Dataflow) -> dict[str, str]:
    """Modules by name, the element last."""
    module = f"{of.spec.name}_pe_{dataflow}"
    made, places = _parts(of)
    kept = {"os": {"b": "b_in", "sum": "sum", "nar": "nar"},
            "ws": {"b": "b", "sum": "sum_in", "nar": "nar_in"}}[dataflow]  # fmt: skip
    text = filled(
        f"pe_{dataflow}",
        **places,
        head=head(module, "a cell of a systolic array, with an exact sum", of.spec),
        module=module,
        step=filled("pe_step", **places, **kept),
    )
    return made | {module: text}
