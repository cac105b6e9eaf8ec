@{head}
//
// Combinational: the posit nearest to a sum of @{width} bits, of which the lowest weighs 2^@{lsb}.
`default_nettype none

module @{module} (
    input  wire [@{w_top}:0] sum,
    input  wire nar,
    output wire [@{n_top}:0] result
);
    wire [@{w_top}:0] magnitude = sum[@{w_top}] ? -sum : sum;
    wire [@{c_top}:0] leads;
    @{leading} count (.x(magnitude), .zeros(leads));
    wire [@{w_top}:0] normal = magnitude << leads;
    wire [@{scale_top}:0] scale = @{highest} - @{wide_leads};
    @{encoder} #(.SCALE(@{scale_width})) encode (
        .nar(nar), .zero(~normal[@{w_top}]), .sign(sum[@{w_top}]), .scale(scale),
        .fraction(@{fraction}), .guard(@{guard}), .sticky(@{sticky}), .result(result)
    );
endmodule

`default_nettype wire
