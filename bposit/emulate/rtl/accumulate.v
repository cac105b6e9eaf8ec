@{head}
//
// Combinational. The sum is in two's complement, @{width} bits, of which the lowest weighs 2^@{lsb}.
// With clear it begins anew. NaR stays until then, as the flag; the sum is 0 meanwhile. A sum beyond
// its @{width} bits, which takes more than 2^31 - 1 products, is NaR too; next has
// no meaning in that step.
//   clear: sum and sum_nar do not count; sum, sum_nar: so far; the others: of @{prefix}_product
//   next, next_nar: the sum with the product
`default_nettype none

module @{module} (
    input  wire clear,
    input  wire [@{w_top}:0] sum,
    input  wire sum_nar,
    input  wire nar,
    input  wire sign,
    input  wire [@{s_width}:0] scale,
    input  wire [@{p_top}:0] product,
    output wire [@{w_top}:0] next,
    output wire next_nar
);
    wire dead = nar | (sum_nar & ~clear);
    wire [@{w_top}:0] held = sum & {@{width}{~(clear | sum_nar | nar)}};

    // from the least scale of a product that is not 0
    wire [@{s_width}:0] by = scale + @{bias};
    wire [@{p_top}:0] bits = product & {@{p_width}{~dead}};
    wire [@{d_top}:0] placed = @{bits} << by;
    wire [@{width}:0] term = {@{spare}'b0, @{kept}} ^ {@{w_1}{sign}};
    wire [@{width}:0] total = {held[@{w_top}], held} + term + {@{width}'b0, sign};

    assign next = total[@{w_top}:0];
    assign next_nar = dead | (total[@{width}] ^ total[@{w_top}]);@{unused}
endmodule

`default_nettype wire
