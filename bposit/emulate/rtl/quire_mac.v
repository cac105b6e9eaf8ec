@{head}
//
// Each step adds a*b to the sum, which with clear begins anew; the sum and its rounding come out
// for every step, a user may take those of the last step only.
//   sum: in two's complement, @{width} bits of which the lowest weighs 2^@{lsb}
//   nar: it is NaR, which stays until clear; a sum beyond its @{width} bits is
//   result: the posit nearest to sum, from which it follows combinationally
@{handshake}
`default_nettype none

module @{module} (
    input  wire clk,
    input  wire rst,
    input  wire in_valid,
    output wire in_ready,
    input  wire clear,
    input  wire [@{n_top}:0] a,
    input  wire [@{n_top}:0] b,
    output reg  out_valid,
    input  wire out_ready,
    output reg  [@{w_top}:0] sum,
    output reg  nar,
    output wire [@{n_top}:0] result
);
@{pipeline}
    wire nar_ab, zero_ab, sign_ab;
    wire [@{s_width}:0] scale_ab;
    wire [@{p_top}:0] product_ab;
    @{product} multiply (
        .a(a), .b(b), .nar(nar_ab), .zero(zero_ab), .sign(sign_ab), .scale(scale_ab),
        .product(product_ab)
    );

    reg held_clear, held_nar, held_sign;
    reg [@{s_width}:0] held_scale;
    reg [@{p_top}:0] held_product;
    always @(posedge clk)
        if (in_ready) begin
            held_clear <= clear;
            held_nar <= nar_ab;
            held_sign <= sign_ab;
            held_scale <= scale_ab;
            held_product <= product_ab;
        end

    wire [@{w_top}:0] next;
    wire next_nar;
    @{accumulate} accumulate (
        .clear(held_clear), .sum(sum), .sum_nar(nar), .nar(held_nar), .sign(held_sign),
        .scale(held_scale), .product(held_product), .next(next), .next_nar(next_nar)
    );
    always @(posedge clk)
        if (rst) begin
            sum <= @{width}'b0;
            nar <= 1'b0;
        end else if (move & held) begin
            sum <= next;
            nar <= next_nar;
        end

    @{quire_round} round (.sum(sum), .nar(nar), .result(result));
    wire unused = zero_ab;
endmodule

`default_nettype wire
