@{head}
//
// Combinational. Zero and NaR are flags; the other fields are then 0.
//   a: the posit; @{formula}
//   scale is in two's complement; fraction is left-aligned, missing bits are 0
//   @{how}
`default_nettype none

module @{module} (
    input  wire [@{n_top}:0] a,
    output wire nar,
    output wire zero,
    output wire sign,
    output wire [@{s_top}:0] scale,
    output wire [@{f_top}:0] fraction
);
    wire special = ~|a[@{b_top}:0];
    assign nar = special & a[@{n_top}];
    assign zero = special & ~a[@{n_top}];
    assign sign = ~special & a[@{n_top}];

    wire [@{b_top}:0] body = @{body};

    // The regime is a run of bits like the first one; where others differ it has ended.
    wire first = body[@{b_top}];
    wire [@{t_top}:0] turn = body[@{turn}] ^ {@{t_width}{first}};

@{regime}

    // more is the run's length less 1; so is the regime's value, or that of its complement
    assign scale = (@{scale}) & {@{s_width}{~special}};
    assign fraction = @{fraction};
endmodule

`default_nettype wire
