    // Two stages, after the operands' and before the result's registers; a stage moves on where the
    // next one is empty or moves on too.
    reg held;
    wire move = ~out_valid | out_ready;
    assign in_ready = ~held | move;
    always @(posedge clk)
        if (rst) begin
            held <= 1'b0;
            out_valid <= 1'b0;
        end else begin
            if (in_ready) held <= in_valid;
            if (move) out_valid <= held;
        end
