/* Matrices cut into slices of a few bits, whose float64 products are exact. */
#include "blocks.h"
#include "operand.h"

BP_CLONES int bp_span(bp_spec s, size_t count, const void *p, ptrdiff_t sp, int32_t *span) {
    int32_t low = INT32_MAX, high = INT32_MIN;
    bp_buffer room;
    bp_operand x;
    for (size_t i = 0; i < count; i += BP_BLOCK) {
        size_t n = bp_step(count, i);
        const void *bits = bp_gather(p, sp, i, n, bp_size(s), &room);
        BP_WITH_SPEC(s, bp_read(S, n, bits, &x));
        low = x.low < low ? x.low : low;
        high = x.high > high ? x.high : high;
    }
    if (low > high) return 0;
    span[0] = low, span[1] = high + bp_f_max(s) + 1;
    return 1;
}

void bp_extent(bp_spec s, size_t count, const void *p, ptrdiff_t sp, int32_t from, int64_t *highest,
               int64_t *lowest) {
    bp_buffer room;
    bp_operand x;
    const int f = bp_f_max(s);
    for (size_t i = 0; i < count; i += BP_BLOCK) {
        size_t n = bp_step(count, i);
        bp_read(s, n, bp_gather(p, sp, i, n, bp_size(s), &room), &x);
        for (size_t k = 0; k < n; k++) {
            uint64_t mag = bp_body64(x.sig[k]);
            if (mag == 0) continue;
            highest[x.scale[k] + f - from]++;
            lowest[x.scale[k] + __builtin_ctzll(mag) - from]++;
        }
    }
}

BP_INLINE size_t bp_slices(const bp_spec s, size_t count, const void *p, ptrdiff_t sp, int32_t top,
                           int bits, int parts, double *part, size_t stride, int64_t *elsewhere) {
    const uint64_t mask = ((uint64_t)1 << bits) - 1;
    const int f = bp_f_max(s);
    const int32_t bottom = top - parts * bits;
    size_t found = 0;
    bp_buffer room;
    bp_operand x;
    for (size_t i = 0; i < count; i += BP_BLOCK) {
        size_t n = bp_step(count, i);
        bp_read(s, n, bp_gather(p, sp, i, n, bp_size(s), &room), &x);
        int misfits = 0;
        for (size_t k = 0; k < n; k++) { /* bits at or above 2^top, or below 2^bottom */
            uint64_t mag = bp_body64(x.sig[k]);
            int64_t above = (int64_t)x.scale[k] + f >= top, under = (int64_t)bottom - x.scale[k];
            uint64_t down = (uint64_t)(under < 0 ? 0 : under > 63 ? 63 : under);
            uint64_t cut = (mag >> down) << down;
            misfits |= mag != 0 && (above || cut != mag);
        }
        if (misfits) {
            for (size_t k = 0; k < n; k++) {
                uint64_t mag = bp_body64(x.sig[k]);
                int64_t under = (int64_t)bottom - x.scale[k];
                uint64_t down = (uint64_t)(under < 0 ? 0 : under > 63 ? 63 : under);
                if (mag == 0 || (x.scale[k] + f < top && (mag >> down) << down == mag)) continue;
                x.sig[k] = 0;
                elsewhere[found++] = (int64_t)(i + k);
            }
        }
        for (int t = 0; t < parts; t++) {
            double *to = part + (size_t)t * stride + i;
            const int64_t low = (int64_t)top - (int64_t)(t + 1) * bits;
            for (size_t k = 0; k < n; k++) {
                int64_t shift = x.scale[k] - low;
                uint64_t up = (uint64_t)(shift < 0 ? 0 : shift > 63 ? 63 : shift);
                uint64_t down = (uint64_t)(shift > 0 ? 0 : shift < -63 ? 63 : -shift);
                uint64_t d = ((bp_body64(x.sig[k]) << up) >> down) & mask;
                double v = bp_f64_bits(d | bp_bits_f64(0x1p52)) - 0x1p52; /* d < 2^32 */
                to[k] = x.sig[k] < 0 ? -v : v;
            }
        }
    }
    return found;
}

BP_CLONES size_t bp_slice(bp_spec s, size_t count, const void *p, ptrdiff_t sp, int32_t top,
                          int bits, int parts, double *part, size_t stride, int64_t *elsewhere) {
    size_t found = 0;
    BP_WITH_SPEC(s, found = bp_slices(S, count, p, sp, top, bits, parts, part, stride, elsewhere));
    return found;
}
