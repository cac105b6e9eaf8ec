@{head}
//
// Prints PASS N only if the unit answers all N vectors of the file rightly. No vector is all zeros
// (a result of zero has a flag), so that words which the file lacks are told from vectors.
//   N, VECTORS: how many, and of which file
// Where the files are: iverilog -g2001 -y. -o @{module}.vvp @{module}_tb.v && vvp @{module}.vvp
// or: verilator --binary -y . @{module}_tb.v && obj_dir/V@{module}_tb
`default_nettype none

module @{module}_tb;
    parameter N = @{count};
    parameter VECTORS = "@{vectors}";

    reg [@{top}:0] vectors [0:N-1];
    reg [@{top}:0] vector;
@{columns}
@{wires}
    integer i, right, shown;

    @{module} dut (@{ports});

    initial begin
        for (i = 0; i < N; i = i + 1) vectors[i] = @{width}'b0;
        $readmemh(VECTORS, vectors);
        right = 0;
        shown = 0;
        for (i = 0; i < N; i = i + 1) begin
            vector = vectors[i];
            #10;
            if ((|vector) !== 1'b1 || (^vector) === 1'bx)
                $display("FAIL: %0s has no vector %0d", VECTORS, i);
            else if (@{agree}) right = right + 1;
            else if (shown < 10) begin
                $display("FAIL: vector %0d, %h: got @{formats}", i, @{shown}, @{got});
                shown = shown + 1;
            end
            if ((|vector) !== 1'b1) i = N;
        end
        if (right == N) $display("PASS %0d", N);
        else $display("FAIL: %0d of %0d vectors are right", right, N);
        $finish;
    end
endmodule

`default_nettype wire
