@{head}
//
// Combinational. Bit @{x_top} is the first; without a 1 the count is @{width}.
`default_nettype none

module @{module} (
    input  wire [@{x_top}:0] x,
    output wire [@{c_top}:0] zeros
);
    // @{blocks} blocks of 32 bits: first the one that has a 1, then where it is.
    wire [@{p_top}:0] padded = @{padded};
    wire [@{b_top}:0] some;
    wire [@{counts_top}:0] counts;
    genvar i;
    generate
        for (i = 0; i < @{blocks}; i = i + 1) begin : block
            wire none;
            @{block} count (.x(padded[32*i +: 32]), .zeros({none, counts[5*i +: 5]}));
            assign some[i] = ~none;
        end
    endgenerate
    wire [@{i_top}:0] index;
    @{inner} count (.x(some), .zeros(index));
    wire [@{i_top}:0] from_below = @{i_width}'d@{b_top} - index;
    assign zeros = {@{index}, counts[5*from_below +: 5]};@{unused}
endmodule

`default_nettype wire
