/* Element-wise arithmetic on arrays of patterns, each element rounded once. */
#include "blocks.h"
#include "pairs.h"

/* Three routes, one result: 32-bit lanes where 2n <= 32; one float64 operation where codec.h
 * proves it right, or a sum rounded to odd; otherwise integers of at least 2n bits. The products of
 * a fused operation are exact in float64 where codec.h's proof holds. */
BP_INLINE int bp_wants_f64(const int op, bp_spec s) {
    if (op == BP_DIV || op == BP_SQRT) return bp_via_f64(s);
    if (s.n <= 16) return 0;
    if (op == BP_ADD || op == BP_SUB) return bp_odd_rounds(s) && bp_sums_are_normal(s);
    return (op == BP_MUL || op == BP_FMA) && bp_via_f64(s);
}

BP_INLINE double bp_sum_f64(bp_spec s, double a, double b) {
    return bp_via_f64(s) ? a + b : bp_to_odd(bp_two_sum(a, b));
}

BP_INLINE double bp_on_f64(const int op, bp_spec s, double a, double b, double c) {
    switch (op) {
    case BP_ADD: return bp_sum_f64(s, a, b);
    case BP_SUB: return bp_sum_f64(s, a, -b);
    case BP_MUL: return a * b;
    case BP_DIV: return b == 0 ? (double)NAN : a / b;
    case BP_FMA: return bp_to_odd(bp_two_sum(a * b, c));
    default: return sqrt(a);
    }
}

/* In integers of W >= 2n bits. The three word sizes are one text (arith.h); so are the selections
 * here, but for 32-bit lanes they must be 32 bits wide themselves to vectorise. */
BP_INLINE int32_t bp_on_lanes(const int op, bp_spec s, int32_t a, int32_t b, int32_t c) {
    const int32_t nar = (int32_t)bp_nar(s);
    int32_t r;
    if (op == BP_MUL) r = bp_mul32(a, b, s);
    else if (op == BP_FMA) r = bp_fma32(a, b, c, s);
    else r = bp_add32(a, op == BP_SUB ? -b : b, s); /* negation is exact; -NaR is put right below */
    r = a == nar ? nar : r;
    r = b == nar ? nar : r;
    return op == BP_FMA && c == nar ? nar : r;
}

BP_INLINE int64_t bp_on_words(const int op, bp_spec s, int64_t a, int64_t b, int64_t c) {
    const int64_t nar = bp_nar(s);
    const int wide = s.n > 32;
    if (op == BP_SQRT) return bp_sqrt(a, s);
    if (a == nar || b == nar || (op == BP_FMA && c == nar)) return nar;
    switch (op) {
    case BP_ADD:
    case BP_SUB: b = op == BP_SUB ? -b : b; return wide ? bp_add128(a, b, s) : bp_add64(a, b, s);
    case BP_MUL: return wide ? bp_mul128(a, b, s) : bp_mul64(a, b, s);
    case BP_FMA: return wide ? bp_fma128(a, b, c, s) : bp_fma64(a, b, c, s);
    default: return b == 0 ? nar : wide ? bp_div128(a, b, s) : bp_div64(a, b, s);
    }
}

BP_INLINE int64_t bp_negated(int64_t p, bp_spec s) { return p == bp_nar(s) ? p : -p; }

/* Operands as doubles; those of a scalar stay from block to block. */
typedef struct {
    double a[BP_BLOCK], b[BP_BLOCK], c[BP_BLOCK], result[BP_BLOCK];
} bp_values;

BP_INLINE void bp_block(const int op, const bp_spec s, size_t count, const void *a, const void *b,
                        const void *c, void *out) {
    const int size = bp_size(s);
    if (s.n <= 16 && (op == BP_ADD || op == BP_SUB || op == BP_MUL || op == BP_FMA)) {
        BP_INDEPENDENT
        for (size_t i = 0; i < count; i++) {
            int32_t x = (int32_t)bp_load(a, i, size), y = (int32_t)bp_load(b, i, size);
            int32_t z = op == BP_FMA ? (int32_t)bp_load(c, i, size) : 0;
            bp_store(out, i, size, bp_on_lanes(op, s, x, y, z));
        }
        return;
    }
    for (size_t i = 0; i < count; i++) {
        int64_t x = bp_load(a, i, size), y = b ? bp_load(b, i, size) : 0, r;
        if (op == BP_NEG) r = bp_negated(x, s);
        else if (op == BP_ABS) r = x < 0 ? bp_negated(x, s) : x;
        else r = bp_on_words(op, s, x, y, c ? bp_load(c, i, size) : 0);
        bp_store(out, i, size, r);
    }
}

BP_INLINE void bp_blocks(const int op, const bp_spec s, size_t count, const void *a, ptrdiff_t sa,
                         const void *b, ptrdiff_t sb, const void *c, ptrdiff_t sc, void *out,
                         ptrdiff_t so) {
    const int size = bp_size(s), two = op <= BP_DIV || op == BP_FMA, three = op == BP_FMA;
    const int via_f64 = bp_wants_f64(op, s);
    bp_buffer ra, rb, rc, ro;
    bp_values x;
    for (size_t i = 0; i < count; i += BP_BLOCK) {
        size_t n = bp_step(count, i);
        const void *pa = bp_gather(a, sa, i, n, size, &ra);
        const void *pb = two ? bp_gather(b, sb, i, n, size, &rb) : NULL;
        const void *pc = three ? bp_gather(c, sc, i, n, size, &rc) : NULL;
        void *to = bp_target(out, so, i, size, &ro);
        if (via_f64) { /* short loops vectorise where one long one does not */
            if (i == 0 || sa) bp_decode_block(0, s, 0, n, pa, x.a);
            if (two && (i == 0 || sb)) bp_decode_block(0, s, 0, n, pb, x.b);
            if (three && (i == 0 || sc)) bp_decode_block(0, s, 0, n, pc, x.c);
            for (size_t k = 0; k < n; k++)
                x.result[k] = bp_on_f64(op, s, x.a[k], two ? x.b[k] : 0, three ? x.c[k] : 0);
            bp_encode_block(FROM_F64, s, n, x.result, to);
        } else {
            bp_block(op, s, n, pa, pb, pc, to);
        }
        bp_scatter(out, so, i, n, size, to);
    }
}

#define BP_RUN(op)                                                          \
    BP_WITH_SPEC(s, bp_blocks(op, S, count, a, sa, b, sb, c, sc, out, so)); \
    break

BP_CLONES void bp_apply(bp_op op, bp_spec s, size_t count, const void *a, ptrdiff_t sa,
                        const void *b, ptrdiff_t sb, const void *c, ptrdiff_t sc, void *out,
                        ptrdiff_t so) {
    switch (op) {
    case BP_ADD: BP_RUN(BP_ADD);
    case BP_SUB: BP_RUN(BP_SUB);
    case BP_MUL: BP_RUN(BP_MUL);
    case BP_DIV: BP_RUN(BP_DIV);
    case BP_SQRT: BP_RUN(BP_SQRT);
    case BP_NEG: BP_RUN(BP_NEG);
    case BP_ABS: BP_RUN(BP_ABS);
    case BP_FMA: BP_RUN(BP_FMA);
    }
}
