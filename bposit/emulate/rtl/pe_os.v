@{head}
//
// Output-stationary: keeps the sum of one result. a comes from the left and goes on to the right, b
// from above and on downwards, a cycle later; where both are valid their product is added. With move
// the sums of a column move down instead: at the bottom @{quire_round} rounds them, at
// the top a 0 enters, which clears. All registers change at clk's rising edge where enable is 1; rst
// is synchronous. A step takes one cycle, from a and b to sum: latency 0 of emulate.SystolicArray.
//   sum: in two's complement, @{width} bits of which the lowest weighs 2^@{lsb}; nar: it is NaR
`default_nettype none

module @{module} (
    input  wire clk,
    input  wire rst,
    input  wire enable,
    input  wire a_in_valid,
    input  wire [@{n_top}:0] a_in,
    input  wire b_in_valid,
    input  wire [@{n_top}:0] b_in,
    output reg  a_valid,
    output reg  [@{n_top}:0] a,
    output reg  b_valid,
    output reg  [@{n_top}:0] b,
    input  wire move,
    input  wire [@{w_top}:0] sum_in,
    input  wire nar_in,
    output reg  [@{w_top}:0] sum,
    output reg  nar
);
@{step}
    always @(posedge clk)
        if (rst) begin
            a_valid <= 1'b0;
            b_valid <= 1'b0;
            sum <= @{width}'b0;
            nar <= 1'b0;
        end else if (enable) begin
            a_valid <= a_in_valid;
            b_valid <= b_in_valid;
            if (move) begin
                sum <= sum_in;
                nar <= nar_in;
            end else if (a_in_valid & b_in_valid) begin
                sum <= next;
                nar <= next_nar;
            end
        end

    always @(posedge clk)
        if (enable) begin
            a <= a_in;
            b <= b_in;
        end
endmodule

`default_nettype wire
