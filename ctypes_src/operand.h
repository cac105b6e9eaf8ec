/* A block of patterns as integers with exponents: what exact sums are made of. */
#ifndef BPOSIT_OPERAND_H
#define BPOSIT_OPERAND_H

#include "lanes.h"

/* A decoded block: value i = sig[i] * 2^scale[i]; sig = 0 for zero and NaR. The scales of all other
 * elements lie in [low, high]; low > high where there are none. */
typedef struct {
    int64_t sig[BP_BLOCK];
    int32_t scale[BP_BLOCK];
    int32_t low, high;
    int nar;
} bp_operand;

/* All bits set for 0. In 32-bit lanes, by masks: the vectoriser takes conditions on mixed widths
 * for branches. */
BP_INLINE int32_t bp_nothing(const bp_spec s, int64_t sig) {
    uint32_t any = (uint32_t)sig;
    if (s.n > 32) any |= (uint32_t)(sig >> 32);
    return (int32_t)(bp_some32(any) - 1);
}

BP_INLINE void bp_read(const bp_spec s, size_t count, const void *bits, bp_operand *x) {
    const int size = bp_size(s), f = bp_f_max(s);
    const int64_t nar_pattern = bp_nar(s);
    int nar = 0;
    for (size_t i = 0; i < count; i++) {
        int64_t p = bp_load(bits, i, size);
        nar |= p == nar_pattern;
        if (s.n <= 32) {
            bp_num32 u = bp_unpack32(bp_body32((int32_t)p), s);
            int32_t sig = (int32_t)(u.sig >> (31 - f));
            x->sig[i] = p < 0 ? -sig : sig;
            x->scale[i] = u.scale - f;
        } else {
            bp_num64 u = bp_unpack64(bp_body64(p), s);
            int64_t sig = (int64_t)(u.sig >> (63 - f));
            x->sig[i] = p < 0 ? -sig : sig;
            x->scale[i] = (int32_t)u.scale - f;
        }
    }
    x->nar = nar;
    int32_t low = INT32_MAX, high = INT32_MIN;
    for (size_t i = 0; i < count; i++) {
        int32_t none = bp_nothing(s, x->sig[i]), scale = x->scale[i];
        int32_t below = scale ^ ((scale ^ INT32_MAX) & none);
        int32_t above = scale ^ ((scale ^ INT32_MIN) & none);
        low = below < low ? below : low;
        high = above > high ? above : high;
    }
    x->low = low, x->high = high;
}

#endif
