@{head}
//
// One cell, given every vector as the array's edges would: @{manner}
// Prints PASS N only if the cell answers all N vectors of the file rightly and passes its operands
// on, with enable pausing at random. No vector is all zeros (a sum of zero has a flag), so that
// words which the file lacks are told from vectors.
//   N, VECTORS: how many, and of which file
// Where the files are: iverilog -g2001 -y. -o @{module}.vvp @{module}_tb.v && vvp @{module}.vvp
// or: verilator --binary -y . @{module}_tb.v && obj_dir/V@{module}_tb
`default_nettype none

module @{module}_tb;
    parameter N = @{count};
    parameter VECTORS = "@{vectors}";

    reg [@{top}:0] vectors [0:N-1];
    reg clk = 1'b0;
    reg rst = 1'b1;
    reg [15:0] random = 16'hace1;
    reg [1:0] phase = 2'd0;  // prepare, multiply, check
    integer i, came, right, shown;

    wire [@{top}:0] vector = vectors[came < N ? came : 0];
@{columns}
@{wires}
    wire [@{n_top}:0] got_a, got_b;
    wire a_valid, b_valid;
    wire begins = clear | (came == 0);
    wire enable = random[1:0] != 2'b00;

    @{module} dut (
        .clk(clk), .rst(rst), .enable(enable),
        .a_in_valid(@{a_valid}), .a_in(phase == 2'd1 ? a : ~a),
        .b_in_valid(@{b_valid}), .b_in(@{b_now} ? b : ~b),
        .a_valid(a_valid), .a(got_a), .b_valid(b_valid), .b(got_b),
        @{ports},
        .sum(got_sum), .nar(got_nar)
    );
    @{round} round (.sum(got_sum), .nar(got_nar), .result(got_result));

    initial begin
        for (i = 0; i < N; i = i + 1) vectors[i] = @{width}'b0;
        $readmemh(VECTORS, vectors);
        came = 0;
        right = 0;
        shown = 0;
        #32 rst = 1'b0;
    end

    always #5 clk <= ~clk;

    always @(posedge clk) begin
        random <= {random[14:0], random[15] ^ random[13] ^ random[12] ^ random[10]};
        if (~rst & enable) phase <= phase == 2'd2 ? 2'd0 : phase + 2'd1;
        if (~rst & enable & (phase == 2'd2)) begin
            came <= came + 1;
            if ((|vector) !== 1'b1 || (^vector) === 1'bx) begin
                if (shown < 10) $display("FAIL: %0s has no vector %0d", VECTORS, came);
                shown <= shown + 1;
            end else if (@{agree} && got_a === a && got_b === b && a_valid === 1'b1
                         && b_valid === 1'b1) right <= right + 1;
            else begin
                if (shown < 10)
                    $display("FAIL: vector %0d, %h: got @{formats}", came, @{shown}, @{got});
                shown <= shown + 1;
            end
        end
        if (came == N) begin
            if (right == N) $display("PASS %0d", N);
            else $display("FAIL: %0d of %0d vectors are right", right, N);
            $finish;
        end
    end
endmodule

`default_nettype wire
