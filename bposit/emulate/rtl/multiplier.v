@{head}
//
//   result: the posit nearest to a * b, ties to the even pattern
@{handshake}
`default_nettype none

module @{module} (
    input  wire clk,
    input  wire rst,
    input  wire in_valid,
    output wire in_ready,
    input  wire [@{n_top}:0] a,
    input  wire [@{n_top}:0] b,
    output reg  out_valid,
    input  wire out_ready,
    output reg  [@{n_top}:0] result
);
@{pipeline}
    wire nar, zero, sign;
    wire [@{s_width}:0] scale;
    wire [@{p_top}:0] product;
    @{product} multiply (
        .a(a), .b(b), .nar(nar), .zero(zero), .sign(sign), .scale(scale), .product(product)
    );

    reg held_nar, held_zero, held_sign;
    reg [@{s_width}:0] held_scale;
    reg [@{p_top}:0] held_product;
    always @(posedge clk)
        if (in_ready) begin
            held_nar <= nar;
            held_zero <= zero;
            held_sign <= sign;
            held_scale <= scale;
            held_product <= product;
        end

    // The product is 1 to below 4: normal is what is behind its first 1.
    wire two = held_product[@{p_top}];
    wire [@{normal_top}:0] normal = two ? @{above} : @{below};
    wire [@{n_top}:0] rounded;
    @{encoder} encode (
        .nar(held_nar), .zero(held_zero), .sign(held_sign),
        .scale(held_scale + @{two}),
        .fraction(@{fraction}), .guard(@{guard}), .sticky(@{sticky}), .result(rounded)
    );
    always @(posedge clk)
        if (move) result <= rounded;
endmodule

`default_nettype wire
