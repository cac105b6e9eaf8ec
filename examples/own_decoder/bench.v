// Drives a decoder with the operands of a vector file, and writes what it answers as another.
`default_nettype none
`timescale 1ns/1ns

module bench;
    parameter N = 65536;

    reg [43:0] vectors [0:N-1];  // a, flags, sign, scale, fraction, in whole hexadecimal digits
    reg [15:0] a;
    wire nar, zero, sign;
    wire [8:0] scale;
    wire [7:0] fraction;
    wire [3:0] flags = {zero, 2'b00, nar};
    integer i, file;

    own_decoder dut (
        .a(a), .nar(nar), .zero(zero), .sign(sign), .scale(scale), .fraction(fraction)
    );

    initial begin
        $readmemh("decode.hex", vectors);
        file = $fopen("answers.hex", "w");
        for (i = 0; i < N; i = i + 1) begin
            a = vectors[i][43:28];
            #1 $fwrite(file, "%h_%h_%h_%h_%h\n", a, flags, sign, scale, fraction);
        end
        $fclose(file);
        $finish;
    end
endmodule

`default_nettype wire
