@{head}
//
// Weight-stationary: keeps one weight b. With load the weights of a column move down by a row. a
// comes from the left and goes on to the right a cycle later; the partial sum comes from above
// together with it, and goes on downwards with a*b added, or as it came where there is no weight. At
// the bottom @{quire_round} rounds; a_valid tells which sums are. All registers change at
// clk's rising edge where enable is 1; rst is synchronous. A step takes one cycle, from a to sum:
// latency 0 of emulate.SystolicArray.
//   sum: in two's complement, @{width} bits of which the lowest weighs 2^@{lsb}; nar: it is NaR
`default_nettype none

module @{module} (
    input  wire clk,
    input  wire rst,
    input  wire enable,
    input  wire load,
    input  wire b_in_valid,
    input  wire [@{n_top}:0] b_in,
    output reg  b_valid,
    output reg  [@{n_top}:0] b,
    input  wire a_in_valid,
    input  wire [@{n_top}:0] a_in,
    output reg  a_valid,
    output reg  [@{n_top}:0] a,
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
        end else if (enable) begin
            a_valid <= a_in_valid;
            if (load) b_valid <= b_in_valid;
        end

    always @(posedge clk)
        if (enable) begin
            if (load) b <= b_in;
            a <= a_in;
            if (a_in_valid) begin
                sum <= b_valid ? next : sum_in;
                nar <= b_valid ? next_nar : nar_in;
            end
        end
endmodule

`default_nettype wire
