"""The exact product, the multiplier and the adder."""

from __future__ import annotations

from .coding import Coding
from .leading import leading
from .text import any_of, filled, head, part, row, zeros

__all__ = ["adder", "handshake", "multiplier", "product"]


def handshake() -> dict[str, str]:
    """Places of the units with a handshake."""
    return {"handshake": filled("handshake").rstrip("\n"), "pipeline": filled("pipeline")}


def product(of: Coding) -> dict[str, str]:
    """Modules by name, the unit's own last."""
    s = of.spec
    module, f, p = f"{s.name}_product", s.f_max, 2 * s.f_max + 2
    decoder = of.decoder()
    wide = [row(zeros(f + 1), "1'b1", part(f"fraction_{x}", f - 1)) for x in "ab"]
    text = filled(
        "product",
        head=head(module, "the product of two posits, not rounded", s),
        module=module,
        fraction_bits=2 * f,
        n_top=s.n - 1,
        s_top=of.scale - 1,
        s_width=of.scale,
        f_top=of.fraction - 1,
        p_top=p - 1,
        p_width=p,
        decoder=next(reversed(decoder)),
        left=wide[0],
        right=wide[1],
        unused="" if f else "\n    wire unused = &{1'b0, fraction_a, fraction_b};",
    )
    return decoder | {module: text}


def multiplier(of: Coding) -> dict[str, str]:
    """Modules by name, the unit's own last."""
    s = of.spec
    module, f, p = f"{s.name}_multiplier", s.f_max, 2 * s.f_max + 2
    inner, encoder = product(of), of.encoder()
    text = filled(
        "multiplier",
        **handshake(),
        head=head(module, "the product of two posits, rounded once", s),
        module=module,
        n_top=s.n - 1,
        s_width=of.scale,
        p_top=p - 1,
        product=next(reversed(inner)),
        encoder=next(reversed(encoder)),
        normal_top=p - 2,
        above=part("held_product", p - 2),
        below=row(part("held_product", p - 3), "1'b0"),
        two=row(zeros(of.scale), "two"),
        fraction=part("normal", 2 * f, f + 1) or "1'b0",
        guard=f"normal[{f}]",
        sticky=any_of("normal", f - 1),
    )
    return inner | encoder | {module: text}


def adder(of: Coding) -> dict[str, str]:
    """Modules by name, the unit's own last."""
    s = of.spec
    module, f, width = f"{s.name}_adder", s.f_max, of.scale
    total = f + 5  # bits: a carry, the significand, guard, round and sticky
    decoder, encoder, counter = of.decoder(), of.encoder(), leading(s, total)
    counts = total.bit_length()
    scale = max(width + 1, 1 + (s.reach + total).bit_length())
    span = 2 * f + 4  # bits in which the smaller significand moves, by at most f + 3
    far, shifts = f"{width + 1}'d{f + 3}", width + 1
    text = filled(
        "adder",
        **handshake(),
        head=head(module, "the sum or difference of two posits, rounded once", s),
        module=module,
        n_top=s.n - 1,
        s_top=width - 1,
        s_width=width,
        f_top=of.fraction - 1,
        key_top=width + of.fraction,
        flip=row("1'b1", zeros(width - 1)),
        f=f,
        f_1=f + 1,
        significand_a=row("~zero_a", part("fraction_a", f - 1)),
        significand_b=row("~zero_b", part("fraction_b", f - 1)),
        far=f"gap > {far}" if f + 3 < (1 << shifts) - 1 else "1'b0",
        gone=row(zeros(f + 3), "little"),
        near=f"{row('little', zeros(f + 3))} >> gap",
        wide_top=span - 1,
        sum_top=f + 3,
        total_top=total - 1,
        total_width=total,
        carry=row(zeros(total - 1), "held_differ"),
        c_top=counts - 1,
        leading=next(reversed(counter)),
        scale_top=scale - 1,
        scale_width=scale,
        wide_scale=row(f"{{{scale - width}{{held_scale[{width - 1}]}}}}", "held_scale"),
        one=f"{scale}'d1",
        wide_leads=row(zeros(scale - counts), "leads"),
        decoder=next(reversed(decoder)),
        encoder=next(reversed(encoder)),
        fraction=part("normal", f + 3, 4) or "1'b0",
        unused="",
    )
    return decoder | encoder | counter | {module: text}
