// A decoder of bposit16, <16,6,5>, such as somebody might bring: with a defect, which `bposit
// vectors verify` finds and explains. docs/hardware.md tells how.
//
//   value = (-1)^sign * 2^scale * (1 + fraction/256)
`default_nettype none

module own_decoder (
    input  wire [15:0] a,
    output wire nar,
    output wire zero,
    output wire sign,
    output wire [8:0] scale,
    output wire [7:0] fraction
);
    wire special = ~|a[14:0];
    assign nar = special & a[15];
    assign zero = special & ~a[15];
    assign sign = ~special & a[15];

    wire [14:0] body = a[15] ? -a[14:0] : a[14:0];
    wire first = body[14];
    reg [2:0] more;  // bits of the regime's run after the first
    reg [12:0] rest;  // exponent and fraction
    always @* begin
        casez (body[13:9] ^ {5{first}})
            5'b1????: begin more = 3'd0; rest = body[12:0]; end
            5'b01???: begin more = 3'd1; rest = {body[11:0], 1'b0}; end
            5'b001??: begin more = 3'd2; rest = {body[10:0], 2'b0}; end
            5'b0001?: begin more = 3'd3; rest = {body[9:0], 3'b0}; end
            5'b00001: begin more = 3'd4; rest = {body[8:0], 4'b0}; end
            default:  begin more = 3'd5; rest = {body[7:0], 5'b0}; end
        endcase
    end
    wire [3:0] regime = {~first, more ^ {3{~first}}};
    assign scale = special ? 9'd0 : {regime, rest[12:8]};
    assign fraction = special ? 8'd0 : rest[7:0];
endmodule

`default_nettype wire
