/* Casts of one contiguous block: what cast.c and certify.c share. */
#ifndef BPOSIT_BLOCKS_H
#define BPOSIT_BLOCKS_H

#include "lanes.h"

enum { FROM_F32, FROM_F64, FROM_I64, FROM_U64 };

BP_INLINE int64_t bp_encode_int(uint64_t mag, int neg, bp_spec s) {
    if (mag == 0) return 0;
    int64_t lead = bp_lead64(mag);
    int64_t body = (int64_t)bp_pack64(63 - lead, mag << lead, 0, s);
    return neg ? -body : body;
}

BP_INLINE void bp_encode_block(const int from, const bp_spec s, size_t count, const void *x,
                               void *out) {
    const int size = bp_size(s);
    if (from == FROM_F32 && s.n <= 32) {
        BP_INDEPENDENT
        for (size_t i = 0; i < count; i++)
            bp_store(out, i, size, bp_encode32_f32(((const float *)x)[i], s));
        return;
    }
    if (from == FROM_F64 && bp_halves_f64(s)) {
        BP_INDEPENDENT
        for (size_t i = 0; i < count; i++)
            bp_store(out, i, size, bp_encode32_f64(((const double *)x)[i], s));
        return;
    }
    BP_INDEPENDENT
    for (size_t i = 0; i < count; i++) {
        int64_t p;
        if (from == FROM_F32) {
            p = bp_encode64_f64((double)((const float *)x)[i], s);
        } else if (from == FROM_F64) {
            p = bp_encode64_f64(((const double *)x)[i], s);
        } else if (from == FROM_I64) {
            int64_t v = ((const int64_t *)x)[i];
            p = bp_encode_int(bp_body64(v), v < 0, s);
        } else {
            p = bp_encode_int(((const uint64_t *)x)[i], 0, s);
        }
        bp_store(out, i, size, p);
    }
}

BP_INLINE void bp_decode_block(const int single, const bp_spec s, const int odd, size_t count,
                               const void *bits, void *out) {
    const int size = bp_size(s);
    if (single && bp_direct_f32(s)) {
        for (size_t i = 0; i < count; i++)
            ((float *)out)[i] = bp_decode32_f32((int32_t)bp_load(bits, i, size), s);
    } else if (single) { /* round to odd, then to nearest: one rounding (53 >= 24 + 2 bits) */
        for (size_t i = 0; i < count; i++)
            ((float *)out)[i] = (float)bp_decode64_f64(bp_load(bits, i, size), s, 1);
    } else if (bp_halves_f64(s)) {
        BP_INDEPENDENT
        for (size_t i = 0; i < count; i++)
            ((double *)out)[i] = bp_decode32_f64((int32_t)bp_load(bits, i, size), s);
    } else {
        BP_INDEPENDENT
        for (size_t i = 0; i < count; i++)
            ((double *)out)[i] = bp_decode64_f64(bp_load(bits, i, size), s, odd);
    }
}

/* Doubles to the nearest posits, as doubles; `out` may be x. */
BP_INLINE void bp_nearest_block(const bp_spec s, size_t count, const double *x, double *out) {
    if (bp_rounds_in_f64(s)) {
        BP_INDEPENDENT
        for (size_t i = 0; i < count; i++) out[i] = bp_rounded_f64(x[i], s);
    } else {
        bp_buffer bits;
        bp_encode_block(FROM_F64, s, count, x, &bits);
        bp_decode_block(0, s, 0, count, &bits, out);
    }
}

#endif
