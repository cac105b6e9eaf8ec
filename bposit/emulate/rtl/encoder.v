@{head}
//
// Combinational. Rounds to nearest, ties to the even pattern; beyond the range the result is maxpos
// or minpos, never zero or NaR. nar wins over zero, both over the rest.
//   result: the posit nearest to @{formula}
//   guard is the bit below the fraction, sticky whether any later bit is set@{tail_note}
//   SCALE: bits of scale, in two's complement; at least @{scale_bits}
//   @{how}
`default_nettype none

module @{module} #(
    parameter SCALE = @{scale_bits}
) (
    input  wire nar,
    input  wire zero,
    input  wire sign,
    input  wire [SCALE-1:0] scale,
    input  wire [@{f_top}:0] fraction,
    input  wire guard,
    input  wire sticky,
    output wire [@{n_top}:0] result
);
    wire [SCALE-1:0] raw = @{raw};
    wire first = ~raw[SCALE-1];
    // the length of the regime's run, less 1
    wire [SCALE-@{es_2}:0] more = raw[SCALE-2:@{es}] ^ {(SCALE-@{es_1}){~first}};
    wire beyond = @{beyond};
    wire [@{tail_top}:0] tail = @{tail};

    // cut: a pattern without its sign, then the bit that decides the rounding; below: later ones
@{regime}

    wire [@{b_top}:0] body = beyond ? {@{b_width}{first}} : cut[@{n_top}:1];
    wire up = ((cut[0] & (cut[1] | below)) | ~|body) & ~&body;
    wire [@{b_top}:0] rounded = @{rounded};
    assign result = nar ? {1'b1, @{b_width}'b0} : zero ? @{n}'b0 : {sign, rounded};@{unused}
endmodule

`default_nettype wire
