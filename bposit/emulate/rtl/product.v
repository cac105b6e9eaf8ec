@{head}
//
// Combinational; the product is exact: (-1)^sign * 2^scale * product/2^@{fraction_bits}, and 0 for zero and NaR.
`default_nettype none

module @{module} (
    input  wire [@{n_top}:0] a,
    input  wire [@{n_top}:0] b,
    output wire nar,
    output wire zero,
    output wire sign,
    output wire [@{s_width}:0] scale,  // in two's complement
    output wire [@{p_top}:0] product
);
    wire nar_a, nar_b, zero_a, zero_b, sign_a, sign_b;
    wire [@{s_top}:0] scale_a, scale_b;
    wire [@{f_top}:0] fraction_a, fraction_b;

    @{decoder} decode_a (
        .a(a), .nar(nar_a), .zero(zero_a), .sign(sign_a), .scale(scale_a), .fraction(fraction_a)
    );
    @{decoder} decode_b (
        .a(b), .nar(nar_b), .zero(zero_b), .sign(sign_b), .scale(scale_b), .fraction(fraction_b)
    );

    assign nar = nar_a | nar_b;
    assign zero = zero_a | zero_b;
    assign sign = sign_a ^ sign_b;
    assign scale = {scale_a[@{s_top}], scale_a} + {scale_b[@{s_top}], scale_b};

    wire [@{p_top}:0] left = @{left};
    wire [@{p_top}:0] right = @{right};
    assign product = (left * right) & {@{p_width}{~(nar | zero)}};@{unused}
endmodule

`default_nettype wire
