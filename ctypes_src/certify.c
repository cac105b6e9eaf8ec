/* Certified rounding: a float64 result and a proven bound on its error give an interval. Rounding
 * to posits is monotone, so where both ends round to one pattern, that is the exact result rounded
 * once. Where they do not, the quire decides. docs/quire.md derives the bounds.
 *
 * Needs operands that are normal float64 numbers (f_max <= 52) and products that neither overflow
 * nor lose bits to underflow: with reach <= 484 a product is at least 2^-968, its last bit 2^-1072,
 * and 2^31 products stay below 2^999.
 */
#include "blocks.h"
#include "limbs.h"
#include "operand.h"

BP_INLINE int bp_may_certify(bp_spec s) { return bp_f_max(s) <= 52 && bp_reach(s) <= 484; }

int bp_certifies(bp_spec s) { return bp_may_certify(s); }

/* ---- matrices ----------------------------------------------------------------------------- */

typedef struct {
    double value[BP_BLOCK];
} bp_doubles;

/* Rounds the ends of `count` intervals x +- e; true if they agree everywhere. */
BP_INLINE int bp_round_ends(const bp_spec s, size_t count, const double *x, const double *e,
                            void *out, void *other) {
    bp_doubles low, high;
    for (size_t i = 0; i < count; i++) low.value[i] = x[i] - e[i];
    for (size_t i = 0; i < count; i++) high.value[i] = x[i] + e[i];
    bp_encode_block(FROM_F64, s, count, low.value, out);
    bp_encode_block(FROM_F64, s, count, high.value, other);
    return memcmp(out, other, count * (size_t)bp_size(s)) == 0;
}

BP_INLINE size_t bp_certify_rows(const bp_spec s, bp_product p, void *out, int64_t *undecided,
                                 size_t room) {
    const int size = bp_size(s);
    bp_doubles error, term, sum;
    bp_buffer other, gathered;
    size_t found = 0;
    for (size_t i = 0; i < p.rows; i++) {
        for (size_t j = 0; j < p.cols; j += BP_BLOCK) {
            size_t n = bp_step(p.cols, j);
            const double *x = p.estimate + i * p.cols + j;
            if (p.magnitude != NULL) {
                const double *m = p.magnitude + i * p.cols + j;
                for (size_t k = 0; k < n; k++) error.value[k] = p.row[i] * m[k];
            } else {
                for (size_t k = 0; k < n; k++) error.value[k] = p.row[i] * p.col[j + k];
            }
            if (p.add != NULL) { /* rounds once more, by half an ulp of the sum */
                const char *from = (const char *)p.add + (ptrdiff_t)i * p.add_row;
                bp_decode_block(0, s, 0, n, bp_gather(from, p.add_col, j, n, size, &gathered),
                                term.value);
                for (size_t k = 0; k < n; k++) {
                    double t = x[k] + term.value[k];
                    sum.value[k] = t;
                    error.value[k] = error.value[k] * (1 + 0x1p-50) + fabs(t) * 0x1p-51;
                }
                x = sum.value;
            }
            char *to = (char *)out + (i * p.cols + j) * (size_t)size;
            if (bp_round_ends(s, n, x, error.value, to, &other)) continue;
            for (size_t k = 0; k < n; k++) {
                if (bp_load(to, k, size) == bp_load(&other, k, size)) continue;
                if (found < room) undecided[found] = (int64_t)(i * p.cols + j + k);
                found++;
            }
        }
    }
    return found;
}

BP_CLONES size_t bp_certify(bp_spec s, bp_product p, void *out, int64_t *undecided, size_t room) {
    size_t found = 0;
    BP_WITH_SPEC(s, found = bp_certify_rows(S, p, out, undecided, room));
    return found;
}

/* The lowest bit of x as a number: |x| less x without that bit. Bits of positive numbers are
 * ordered as the numbers are. */
BP_INLINE int64_t bp_lowest_bit(double x) {
    const int64_t fraction = ((int64_t)1 << 52) - 1;
    double size = fabs(x), rest, low;
    int64_t bits, all;
    memcpy(&bits, &size, 8);
    int64_t cut = bits & (bits - 1);
    memcpy(&rest, &cut, 8);
    low = (bits & fraction) ? size - rest : size;
    memcpy(&all, &low, 8);
    return bits == 0 ? 0x7ff0000000000000 : all;
}

BP_CLONES void bp_grids(size_t rows, size_t cols, const double *x, double *by_row, double *by_col) {
    int64_t *row = (int64_t *)by_row, *col = (int64_t *)by_col;
    for (size_t j = 0; col && j < cols; j++) col[j] = 0x7ff0000000000000;
    for (size_t i = 0; i < rows; i++, x += cols) {
        int64_t least = 0x7ff0000000000000;
        for (size_t j = 0; row && j < cols; j++) {
            int64_t low = bp_lowest_bit(x[j]);
            least = low < least ? low : least;
        }
        if (row) row[i] = least;
        for (size_t j = 0; col && j < cols; j++) {
            int64_t low = bp_lowest_bit(x[j]);
            col[j] = low < col[j] ? low : col[j];
        }
    }
}

/* ---- dot products ------------------------------------------------------------------------- */

enum { LANES = 16, DEPTH = BP_BLOCK / LANES };

/* Sums by lane: a block's products in chains of DEPTH, and the blocks' sums without error, in two
 * doubles (Knuth's two-sum: high + low is the exact sum but for the roundings of low). */
typedef struct {
    double high[LANES], low[LANES], magnitude[LANES];
} bp_chains;

BP_INLINE void bp_chain_block(bp_chains *c, size_t padded, const double *x, const double *y) {
    double sum[LANES] = {0}, magnitude[LANES] = {0};
    for (size_t k = 0; k < padded; k += LANES) {
        for (size_t l = 0; l < LANES; l++) {
            double t = x[k + l] * y[k + l];
            sum[l] += t;
            magnitude[l] += fabs(t);
        }
    }
    for (size_t l = 0; l < LANES; l++) {
        double a = c->high[l], t = a + sum[l], part = t - a;
        c->low[l] += (a - (t - part)) + (sum[l] - part);
        c->high[l] = t;
        c->magnitude[l] += magnitude[l];
    }
}

/* sum of a[i]*b[i] and a bound on its error, u = 2^-53. On the way of a product to the result lie
 * its own rounding, DEPTH additions, and two for each of LANES lanes; the blocks' sums add nothing
 * but the roundings of `low`, (blocks*u)^2 <= 2^-62 of the magnitude for 2^31 products. So h below
 * counts the roundings, with four to spare for those and for the interval's ends, and the factor
 * covers h*u/(1 - h*u) and that the magnitude is itself rounded, at most blocks + h times. */
BP_INLINE bp_interval bp_enclose(const bp_spec s, size_t count, const void *a, ptrdiff_t sa,
                                 const void *b, ptrdiff_t sb) {
    const int size = bp_size(s);
    const double h = 1 + DEPTH + 2 * LANES + 4;
    bp_buffer ra, rb;
    bp_doubles x, y;
    bp_chains c = {{0}, {0}, {0}};
    if (sb == 0 && count > 0) {
        bp_decode_block(0, s, 0, 1, bp_gather(b, 0, 0, 1, size, &rb), y.value);
        for (size_t k = 1; k < BP_BLOCK; k++) y.value[k] = y.value[0];
    }
    for (size_t i = 0; i < count; i += BP_BLOCK) {
        size_t n = bp_step(count, i), padded = (n + LANES - 1) / LANES * LANES;
        bp_decode_block(0, s, 0, n, bp_gather(a, sa, i, n, size, &ra), x.value);
        if (sb != 0) bp_decode_block(0, s, 0, n, bp_gather(b, sb, i, n, size, &rb), y.value);
        for (size_t k = n; k < padded; k++) x.value[k] = y.value[k] = 0;
        bp_chain_block(&c, padded, x.value, y.value);
    }
    bp_interval result = {0, 0};
    for (size_t l = 0; l < LANES; l++) {
        result.middle += c.high[l];
        result.error += c.magnitude[l];
    }
    for (size_t l = 0; l < LANES; l++) result.middle += c.low[l];
    result.error *= h * 0x1p-53 * (1 + 0x1p-20);
    return result;
}

BP_CLONES bp_interval bp_dot_enclosed(bp_spec s, size_t count, const void *a, ptrdiff_t sa,
                                      const void *b, ptrdiff_t sb) {
    bp_interval x = {0, 0};
    BP_WITH_SPEC(s, x = bp_enclose(S, count, a, sa, b, sb));
    return x;
}

/* Whether a quire takes these terms in words of 64 bits, to judge by the first block: for up to 16
 * bits that is faster than floating point. */
BP_INLINE int bp_is_narrow(const bp_spec s, size_t count, const void *a, ptrdiff_t sa,
                           const void *b, ptrdiff_t sb) {
    if (s.n > 16 || sb == 0 || count < 8 * BP_BLOCK) return 0;
    const int size = bp_size(s);
    const size_t n = bp_step(count, 0);
    bp_buffer room;
    bp_operand x, y;
    bp_read(s, n, bp_gather(a, sa, 0, n, size, &room), &x);
    bp_read(s, n, bp_gather(b, sb, 0, n, size, &room), &y);
    if (x.low > x.high || y.low > y.high) return 1;
    return 2 * (bp_f_max(s) + 1) + 9 + (x.high - x.low) + (y.high - y.low) <= 63;
}

/* The exact sum rounded once: by its interval, else by a quire. */
BP_INLINE int64_t bp_dot_rounded(const bp_spec s, bp_layout l, size_t count, const void *a,
                                 ptrdiff_t sa, const void *b, ptrdiff_t sb) {
    if (bp_may_certify(s) && l.exact && !bp_is_narrow(s, count, a, sa, b, sb)) {
        bp_interval x = bp_enclose(s, count, a, sa, b, sb);
        int64_t low = bp_encode64_f64(x.middle - x.error, s);
        if (low == bp_encode64_f64(x.middle + x.error, s)) return low;
    }
    uint64_t limb[BP_MAX_LIMBS];
    int32_t flags = 0;
    memset(limb, 0, (size_t)l.limbs * 8);
    bp_quire_dot(s, l, limb, &flags, count, a, sa, b, sb);
    return bp_quire_round(s, l, limb, flags);
}

BP_INLINE void bp_dot_rows(const bp_spec s, bp_layout l, size_t rows, size_t count, const void *a,
                           ptrdiff_t ra, ptrdiff_t ka, const void *b, ptrdiff_t rb, ptrdiff_t kb,
                           void *out) {
    for (size_t i = 0; i < rows; i++) {
        const char *x = (const char *)a + (ptrdiff_t)i * ra;
        const char *y = (const char *)b + (ptrdiff_t)i * rb;
        bp_store(out, i, bp_size(s), bp_dot_rounded(s, l, count, x, ka, y, kb));
    }
}

BP_CLONES void bp_dots(bp_spec s, bp_layout l, size_t rows, size_t count, const void *a,
                       ptrdiff_t ra, ptrdiff_t ka, const void *b, ptrdiff_t rb, ptrdiff_t kb,
                       void *out) {
    BP_WITH_SPEC(s, bp_dot_rows(S, l, rows, count, a, ra, ka, b, rb, kb, out));
}

/* The undecided elements of a product: each by an interval of its own, which is narrower than the
 * one that the whole row and column give, and where that fails by a quire. */
void bp_decide(bp_spec s, bp_product p, bp_factors f, const int64_t *undecided, size_t count,
               void *out) {
    const bp_layout l = bp_exact_layout(s);
    const int size = bp_size(s), certify = bp_may_certify(s);
    for (size_t t = 0; t < count; t++) {
        ptrdiff_t i = (ptrdiff_t)undecided[t] / (ptrdiff_t)p.cols;
        ptrdiff_t j = (ptrdiff_t)undecided[t] % (ptrdiff_t)p.cols;
        const char *a = (const char *)f.a + i * f.a_row, *b = (const char *)f.b + j * f.b_col;
        int64_t term = 0;
        if (p.add != NULL) {
            bp_buffer room;
            const char *at = (const char *)p.add + i * p.add_row + j * p.add_col;
            term = bp_load(bp_gather(at, 0, 0, 1, size, &room), 0, size);
        }
        if (certify) {
            bp_interval x = bp_dot_enclosed(s, f.inner, a, f.a_inner, b, f.b_inner);
            double middle = x.middle + bp_decode64_f64(term, s, 0);
            double error = x.error * (1 + 0x1p-50) + fabs(middle) * 0x1p-51;
            int64_t low = bp_encode64_f64(middle - error, s);
            if (low == bp_encode64_f64(middle + error, s)) {
                bp_store(out, (size_t)undecided[t], size, low);
                continue;
            }
        }
        uint64_t limb[BP_MAX_LIMBS];
        int32_t flags = 0;
        memset(limb, 0, (size_t)l.limbs * 8);
        bp_quire_dot(s, l, limb, &flags, f.inner, a, f.a_inner, b, f.b_inner);
        bp_quire_add(s, l, limb, &flags, term, 0);
        bp_store(out, (size_t)undecided[t], size, bp_quire_round(s, l, limb, flags));
    }
}
