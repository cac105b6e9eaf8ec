    wire nar_ab, zero_ab, sign_ab;
    wire [@{s_width}:0] scale_ab;
    wire [@{p_top}:0] product_ab;
    @{product} multiply (
        .a(a_in), .b(@{b}), .nar(nar_ab), .zero(zero_ab), .sign(sign_ab), .scale(scale_ab),
        .product(product_ab)
    );
    wire [@{w_top}:0] next;
    wire next_nar;
    @{accumulate} accumulate (
        .clear(1'b0), .sum(@{sum}), .sum_nar(@{nar}), .nar(nar_ab), .sign(sign_ab),
        .scale(scale_ab), .product(product_ab), .next(next), .next_nar(next_nar)
    );
    wire unused = zero_ab;
