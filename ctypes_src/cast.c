/* Arrays of patterns to and from IEEE floats, integers, and patterns of other specs. */
#include "blocks.h"

/* ---- encode ------------------------------------------------------------------------------- */

BP_INLINE void bp_encode_blocks(const int from, const bp_spec s, size_t count, const void *x,
                                ptrdiff_t sx, void *out, ptrdiff_t so) {
    const int size = bp_size(s), given = from == FROM_F32 ? 4 : 8;
    bp_buffer rx, ro;
    for (size_t i = 0; i < count; i += BP_BLOCK) {
        size_t n = bp_step(count, i);
        void *to = bp_target(out, so, i, size, &ro);
        bp_encode_block(from, s, n, bp_gather(x, sx, i, n, given, &rx), to);
        bp_scatter(out, so, i, n, size, to);
    }
}

BP_CLONES void bp_encode_f32(bp_spec s, size_t count, const void *x, ptrdiff_t sx, void *out,
                             ptrdiff_t so) {
    BP_WITH_SPEC(s, bp_encode_blocks(FROM_F32, S, count, x, sx, out, so));
}

BP_CLONES void bp_encode_f64(bp_spec s, size_t count, const void *x, ptrdiff_t sx, void *out,
                             ptrdiff_t so) {
    BP_WITH_SPEC(s, bp_encode_blocks(FROM_F64, S, count, x, sx, out, so));
}

void bp_encode_i64(bp_spec s, size_t count, const void *x, ptrdiff_t sx, void *out, ptrdiff_t so) {
    bp_encode_blocks(FROM_I64, s, count, x, sx, out, so);
}

void bp_encode_u64(bp_spec s, size_t count, const void *x, ptrdiff_t sx, void *out, ptrdiff_t so) {
    bp_encode_blocks(FROM_U64, s, count, x, sx, out, so);
}

/* ---- stochastic rounding ------------------------------------------------------------------ */

BP_INLINE uint64_t bp_mix(uint64_t z) {
    z = (z ^ (z >> 30)) * 0xbf58476d1ce4e5b9u;
    z = (z ^ (z >> 27)) * 0x94d049bb133111ebu;
    return z ^ (z >> 31);
}

/* The word at `index` of the SplitMix64 stream that key seeds (posit/reference/stochastic.py). */
BP_INLINE uint64_t bp_uniform(uint64_t key, uint64_t index) {
    return bp_mix(bp_mix(key) + (index + 1) * 0x9e3779b97f4a7c15u);
}

/* Whether u < 2^64 * (v - lo)/(hi - lo), where v = sig/2^63 * 2^scale and the neighbours are the
 * powers of two lo = 2^(scale - up) and hi = lo * 2^(2^cut): the low `cut` exponent bits of v are
 * `up`. Both sides are divided by lo * 2^up, and rounded: within 2^-50 of the probability. */
BP_INLINE int bp_take_upper(uint64_t u, int64_t up, int cut, uint64_t sig) {
    double gap = ldexp(1.0, (1 << cut) - (int)up) - ldexp(1.0, -(int)up);
    double above = ldexp((double)sig, -63) - ldexp(1.0, -(int)up);
    return (double)u * 0x1p-64 * gap < above;
}

BP_INLINE int64_t bp_encode_random(double x, bp_spec s, uint64_t u) {
    int64_t nearest = bp_encode64_f64(x, s);
    if (nearest == 0 || nearest == bp_nar(s)) return nearest;
    int neg = x < 0, exponent;
    uint64_t sig = (uint64_t)ldexp(frexp(fabs(x), &exponent), 64); /* 53 bits, bit 63 set */
    int64_t scale = exponent - 1, r = scale >> s.es;
    uint64_t e = (uint64_t)scale & ((1ull << s.es) - 1);
    uint64_t ef = e << (63 - s.es) << 1 | sig << 1 >> s.es;
    int64_t max = (int64_t)(~(uint64_t)0 >> (65 - s.n));
    if (r < -s.rs || r >= s.rs) return nearest; /* saturates */
    bp_cut64 t = bp_cut_of64(r, ef, s, 1);
    int64_t body = (int64_t)t.body;
    if (body == 0 || body == max) return nearest; /* so do these */
    int64_t m = r < 0 ? -r : r + 1;
    int64_t left = s.n - 1 - (m < s.rs ? m + 1 : s.rs); /* bits kept of exponent and fraction */
    int take;
    if (left >= s.es) { /* neighbours one unit of the last fraction bit apart */
        /* es + 52 <= 60 bits of exponent and fraction: shifting out the kept ones loses nothing */
        take = u < t.lost;
    } else {
        int cut = (int)(s.es - left);
        take = bp_take_upper(u, (int64_t)(e & ((1ull << cut) - 1)), cut, sig);
    }
    return neg ? -(body + take) : body + take;
}

void bp_encode_stochastic(bp_spec s, size_t count, const void *x, ptrdiff_t sx, void *out,
                          ptrdiff_t so, uint64_t key, uint64_t start) {
    const int size = bp_size(s);
    for (size_t i = 0; i < count; i++) {
        double v;
        memcpy(&v, (const char *)x + (ptrdiff_t)i * sx, 8);
        int64_t p = bp_encode_random(v, s, bp_uniform(key, start + i));
        bp_buffer one;
        bp_store(&one, 0, size, p);
        memcpy((char *)out + (ptrdiff_t)i * so, &one, (size_t)size);
    }
}

/* ---- decode ------------------------------------------------------------------------------- */

BP_INLINE void bp_decode_blocks(const int single, const bp_spec s, const int odd, size_t count,
                                const void *bits, ptrdiff_t sb, void *out, ptrdiff_t so) {
    const int size = bp_size(s), made = single ? 4 : 8;
    bp_buffer rb, ro;
    for (size_t i = 0; i < count; i += BP_BLOCK) {
        size_t n = bp_step(count, i);
        void *to = bp_target(out, so, i, made, &ro);
        bp_decode_block(single, s, odd, n, bp_gather(bits, sb, i, n, size, &rb), to);
        bp_scatter(out, so, i, n, made, to);
    }
}

BP_CLONES void bp_decode_f32(bp_spec s, size_t count, const void *bits, ptrdiff_t sb, void *out,
                             ptrdiff_t so) {
    BP_WITH_SPEC(s, bp_decode_blocks(1, S, 0, count, bits, sb, out, so));
}

BP_CLONES void bp_decode_f64(bp_spec s, size_t count, const void *bits, ptrdiff_t sb, void *out,
                             ptrdiff_t so, int odd) {
    BP_WITH_SPEC(s, bp_decode_blocks(0, S, odd, count, bits, sb, out, so));
}

/* ---- to the nearest posit, as a double ---------------------------------------------------- */

BP_INLINE void bp_round_blocks(const bp_spec s, size_t count, const void *x, ptrdiff_t sx,
                               void *out, ptrdiff_t so) {
    bp_buffer rx, ro;
    for (size_t i = 0; i < count; i += BP_BLOCK) {
        size_t n = bp_step(count, i);
        void *to = bp_target(out, so, i, 8, &ro);
        bp_nearest_block(s, n, bp_gather(x, sx, i, n, 8, &rx), to);
        bp_scatter(out, so, i, n, 8, to);
    }
}

BP_CLONES void bp_round_f64(bp_spec s, size_t count, const void *x, ptrdiff_t sx, void *out,
                            ptrdiff_t so) {
    BP_WITH_SPEC(s, bp_round_blocks(S, count, x, sx, out, so));
}

/* ---- between specs ------------------------------------------------------------------------ */

BP_INLINE int64_t bp_convert_one(int64_t p, bp_spec from, bp_spec to) {
    if (p == bp_nar(from)) return bp_nar(to);
    bp_num64 u = bp_unpack64(bp_body64(p), from);
    if (u.sig == 0) return 0;
    int64_t body = (int64_t)bp_pack64(u.scale, u.sig, 0, to);
    return p < 0 ? -body : body;
}

/* Same rs and es: the bit strings agree, so widening appends zeros. */
BP_INLINE void bp_widen_block(int from_size, int to_size, int zeros, size_t count, const void *bits,
                              void *out) {
    for (size_t i = 0; i < count; i++)
        bp_store(out, i, to_size, (int64_t)((uint64_t)bp_load(bits, i, from_size) << zeros));
}

BP_CLONES void bp_convert(bp_spec from, bp_spec to, size_t count, const void *bits, ptrdiff_t sb,
                          void *out, ptrdiff_t so) {
    const int given = bp_size(from), made = bp_size(to);
    bp_buffer rb, ro;
    for (size_t i = 0; i < count; i += BP_BLOCK) {
        size_t n = bp_step(count, i);
        const void *in = bp_gather(bits, sb, i, n, given, &rb);
        void *to_bits = bp_target(out, so, i, made, &ro);
        if (from.rs == to.rs && from.es == to.es && from.n <= to.n) {
            const int zeros = to.n - from.n;
            if (given == 2 && made == 4) bp_widen_block(2, 4, zeros, n, in, to_bits);
            else bp_widen_block(given, made, zeros, n, in, to_bits);
        } else if (bp_fits_f64(from)) { /* exactly a double, which is then rounded */
            double value[BP_BLOCK];
            bp_decode_f64(from, n, in, given, value, 8, 0);
            bp_encode_f64(to, n, value, 8, to_bits, made);
        } else {
            for (size_t k = 0; k < n; k++)
                bp_store(to_bits, k, made, bp_convert_one(bp_load(in, k, given), from, to));
        }
        bp_scatter(out, so, i, n, made, to_bits);
    }
}
