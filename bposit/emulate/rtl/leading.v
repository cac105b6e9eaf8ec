@{head}
//
// Combinational. Bit @{x_top} is the first; without a 1 the count is @{width}.
`default_nettype none

module @{module} (
    input  wire [@{x_top}:0] x,
    output wire [@{c_top}:0] zeros
);
    // Level k: of groups of 2^k bits, whether there is a 1, and how many zeros lead.
    wire [@{p_top}:0] any0 = @{padded};
@{levels}
endmodule

`default_nettype wire
