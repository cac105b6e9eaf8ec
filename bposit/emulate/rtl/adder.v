@{head}
//
//   result: the posit nearest to a + b, or with subtract a - b; ties to the even pattern
@{handshake}
`default_nettype none

module @{module} (
    input  wire clk,
    input  wire rst,
    input  wire in_valid,
    output wire in_ready,
    input  wire subtract,
    input  wire [@{n_top}:0] a,
    input  wire [@{n_top}:0] b,
    output reg  out_valid,
    input  wire out_ready,
    output reg  [@{n_top}:0] result
);
@{pipeline}
    wire nar_a, nar_b, zero_a, zero_b, sign_a, sign_b;
    wire [@{s_top}:0] scale_a, scale_b;
    wire [@{f_top}:0] fraction_a, fraction_b;
    @{decoder} decode_a (
        .a(a), .nar(nar_a), .zero(zero_a), .sign(sign_a), .scale(scale_a), .fraction(fraction_a)
    );
    @{decoder} decode_b (
        .a(b), .nar(nar_b), .zero(zero_b), .sign(sign_b), .scale(scale_b), .fraction(fraction_b)
    );

    // The larger magnitude first. Significands have @{f} fraction bits, 0 for zero.
    wire [@{key_top}:0] key_a = {~zero_a, scale_a ^ @{flip}, fraction_a};
    wire [@{key_top}:0] key_b = {~zero_b, scale_b ^ @{flip}, fraction_b};
    wire swap = key_b > key_a;
    wire [@{s_top}:0] scale_big = swap ? scale_b : scale_a;
    wire [@{s_top}:0] scale_little = swap ? scale_a : scale_b;
    wire [@{f}:0] significand_a = @{significand_a};
    wire [@{f}:0] significand_b = @{significand_b};
    wire [@{f}:0] big = swap ? significand_b : significand_a;
    wire [@{f}:0] little = swap ? significand_a : significand_b;

    // The smaller one is moved to the weights of the larger, two bits below it kept and the rest
    // gathered in a third. Where that is not 0, the difference has at most one leading zero.
    wire [@{s_width}:0] gap = {scale_big[@{s_top}], scale_big} - {scale_little[@{s_top}], scale_little};
    wire [@{wide_top}:0] wide = (@{far}) ? @{gone} : @{near};
    wire [@{sum_top}:0] aligned = {wide[@{wide_top}:@{f_1}], |wide[@{f}:0]};

    reg held_nar, held_sign, held_differ;
    reg [@{s_top}:0] held_scale;
    reg [@{f}:0] held_big;
    reg [@{sum_top}:0] held_aligned;
    always @(posedge clk)
        if (in_ready) begin
            held_nar <= nar_a | nar_b;
            held_sign <= swap ? sign_b ^ subtract : sign_a;
            held_differ <= sign_a ^ sign_b ^ subtract;
            held_scale <= scale_big;
            held_big <= big;
            held_aligned <= aligned;
        end

    wire [@{total_top}:0] term = {1'b0, held_aligned} ^ {@{total_width}{held_differ}};
    wire [@{total_top}:0] total = {1'b0, held_big, 3'b0} + term + @{carry};
    wire [@{c_top}:0] leads;
    @{leading} count (.x(total), .zeros(leads));
    wire [@{total_top}:0] normal = total << leads;
    wire [@{scale_top}:0] scale = @{wide_scale} + @{one} - @{wide_leads};
    wire [@{n_top}:0] rounded;
    @{encoder} #(.SCALE(@{scale_width})) encode (
        .nar(held_nar), .zero(~normal[@{total_top}]), .sign(held_sign), .scale(scale),
        .fraction(@{fraction}), .guard(normal[3]), .sticky(|normal[2:0]), .result(rounded)
    );
    always @(posedge clk)
        if (move) result <= rounded;@{unused}
endmodule

`default_nettype wire
