@{head}
//
// Prints PASS N only if the unit answers all N vectors of the file rightly, with both sides of the
// handshake pausing at random. No vector is all zeros (a result of zero has a flag), so that words
// which the file lacks are told from vectors.
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
    integer i, sent, came, right, shown, cycles;

    wire [@{top}:0] given = vectors[sent < N ? sent : 0];
    wire unused_given = &{1'b0, given};
@{operands}
    wire [@{top}:0] vector = vectors[came < N ? came : 0];
@{columns}
@{wires}
    wire in_valid = ~rst & (sent < N) & (random[1:0] != 2'b00);
    wire out_ready = random[14:13] != 2'b00;  // long after in_valid's: no bubble's shadow
    wire in_ready, out_valid;

    @{module} dut (
        .clk(clk), .rst(rst), .in_valid(in_valid), .in_ready(in_ready), .out_valid(out_valid),
        .out_ready(out_ready), @{ports}
    );

    initial begin
        for (i = 0; i < N; i = i + 1) vectors[i] = @{width}'b0;
        $readmemh(VECTORS, vectors);
        sent = 0;
        came = 0;
        right = 0;
        shown = 0;
        cycles = 0;
        #32 rst = 1'b0;
    end

    always #5 clk <= ~clk;

    always @(posedge clk) begin
        random <= {random[14:0], random[15] ^ random[13] ^ random[12] ^ random[10]};
        cycles <= cycles + 1;
        if (in_valid & in_ready) sent <= sent + 1;
        if (~rst & out_valid & out_ready) begin
            came <= came + 1;
            if ((|vector) !== 1'b1 || (^vector) === 1'bx) begin
                if (shown < 10) $display("FAIL: %0s has no vector %0d", VECTORS, came);
                shown <= shown + 1;
            end else if (@{agree}) right <= right + 1;
            else begin
                if (shown < 10)
                    $display("FAIL: vector %0d, %h: got @{formats}", came, @{shown}, @{got});
                shown <= shown + 1;
            end
        end
        if (came == N || cycles > 20 * N + 1000) begin
            if (right == N && sent == N) $display("PASS %0d", N);
            else $display("FAIL: %0d of %0d vectors are right, %0d came", right, N, came);
            $finish;
        end
    end
endmodule

`default_nettype wire
