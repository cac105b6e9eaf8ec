"""Decoders and encoders of IEEE 754's floats, which posits' are compared with.

Verilog-2001, combinational. The fields are those of posits' units in sign-magnitude form: subnormal
numbers are normalised, so that a multiplier behind sees one kind of number, as behind a posit's.
"""

from __future__ import annotations

from string import Template

from posit import PositSpec

from ..rtl.leading import leading

__all__ = ["EXPONENTS", "decoder", "encoder"]

EXPONENTS = {16: 5, 32: 8, 64: 11}
"""Widths of the formats to bits of their exponents."""

_DECODER = Template("""\
`default_nettype none

module $module (
    input  wire [$n_top:0] a,
    output wire nan,
    output wire inf,
    output wire zero,
    output wire sign,
    output wire [$s_top:0] scale,
    output wire [$f_top:0] fraction
);
    wire [$e_top:0] field = a[$e_high:$f];
    wire [$f_top:0] rest = a[$f_top:0];
    wire tiny = ~|field, full = &field, some = |rest;
    assign nan = full & some;
    assign inf = full & ~some;
    assign zero = tiny & ~some;
    assign sign = a[$n_top];

    wire [$c_top:0] zeros;
    $counter count (.x(rest), .zeros(zeros));
    // of a subnormal number the first 1 is the hidden bit
    assign fraction = tiny ? {rest[$f_below:0], 1'b0} << zeros : rest;
    wire [$s_top:0] normal = {{$more{1'b0}}, field} - $s'd$bias;
    wire [$s_top:0] subnormal = -$s'd$bias - {{$spare{1'b0}}, zeros};
    assign scale = tiny ? subnormal : normal;
endmodule

`default_nettype wire
""")

_ENCODER = Template("""\
`default_nettype none

module $module (
    input  wire nan,
    input  wire inf,
    input  wire zero,
    input  wire sign,
    input  wire [$s_top:0] scale,
    input  wire [$f_top:0] fraction,
    input  wire guard,
    input  wire sticky,
    output wire [$n_top:0] result
);
    wire signed [$s:0] field = $$signed({scale[$s_top], scale}) + $bias;
    wire tiny = field < 1;
    wire beyond = field > $largest;
    wire signed [$s:0] away = 1 - field;
    wire [$c_top:0] by = tiny ? (away > $most ? $c'd$most : away[$c_top:0]) : $c'd0;
    wire [$long_top:0] long = {1'b1, fraction, guard, $most'b0} >> by;
    wire [$f_top:0] kept = long[$kept_top:$kept_low];
    wire unused = long[$long_top];
    wire up = long[$most] & (|long[$below_top:0] | sticky | kept[0]);
    // a carry out of the fraction is the next exponent, or the first normal number
    wire [$m_top:0] size = {tiny ? $e'd0 : field[$e_top:0], kept} + {$m_top'd0, up};
    wire [$m_top:0] infinity = {{$e{1'b1}}, $f'd0};
    assign result = nan ? {1'b0, {$e{1'b1}}, 1'b1, $f_top'd0}
                  : {sign, zero ? $m'd0 : inf | beyond ? infinity : size};
endmodule

`default_nettype wire
""")


def decoder(spec: PositSpec) -> dict[str, str]:
    """Modules by name, the decoder of the float of ``spec.n`` bits last."""
    places = _places(spec.n)
    f = spec.n - 1 - EXPONENTS[spec.n]
    counter = leading(spec, f)
    module = f"binary{spec.n}_decoder"
    return counter | {
        module: _DECODER.substitute(places, module=module, counter=next(iter(counter)))
    }


def encoder(spec: PositSpec) -> dict[str, str]:
    """The same of the encoder: rounds to nearest even, to subnormal numbers and infinity."""
    module = f"binary{spec.n}_encoder"
    return {module: _ENCODER.substitute(_places(spec.n), module=module)}


def _places(n: int) -> dict[str, int]:
    """Of both templates: e, f, s, m are bits of exponent, fraction, scale, and of all but sign."""
    e = EXPONENTS[n]
    f, s = n - 1 - e, e + 2
    most = f + 2  # so far shifted, nothing but sticky bits are left of a number
    c = most.bit_length()
    return {
        "n": n, "e": e, "f": f, "s": s, "c": c, "m": n - 1,
        "n_top": n - 1, "e_top": e - 1, "f_top": f - 1, "s_top": s - 1, "c_top": c - 1,
        "m_top": n - 2, "e_high": n - 2, "f_below": f - 2, "more": s - e,
        "spare": s - f.bit_length(), "bias": (1 << (e - 1)) - 1, "largest": (1 << e) - 2,
        "most": most, "kept_low": most + 1, "kept_top": most + f, "below_top": most - 1,
        "long_top": most + f + 1,
    }  # fmt: skip
