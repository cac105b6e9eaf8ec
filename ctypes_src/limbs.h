/* The exact accumulator's integer: two's complement in 64-bit limbs, least significant first. */
#ifndef BPOSIT_LIMBS_H
#define BPOSIT_LIMBS_H

#include "codec.h"

#define BP_LOW32 0xffffffffu

/* limb += (neg ? -mag : mag) * 2^pos. The layout guarantees that mag * 2^pos ends inside it. */
BP_INLINE void bp_limbs_add(uint64_t *limb, int limbs, int64_t pos, bp_u128 mag, int neg) {
    int i = (int)(pos >> 6), shift = (int)(pos & 63);
    bp_u128 low = mag << shift;
    uint64_t word[3] = {
        (uint64_t)low,
        (uint64_t)(low >> 64),
        (uint64_t)(mag >> 64) >> 1 >> (63 - shift),
    };
    uint64_t carry = 0;
    if (neg) {
        for (int k = 0; k < 3 && i < limbs; k++, i++) {
            bp_u128 d = (bp_u128)limb[i] - word[k] - carry;
            limb[i] = (uint64_t)d;
            carry = (uint64_t)(d >> 64) & 1;
        }
        for (; carry && i < limbs; i++) carry = limb[i]-- == 0;
    } else {
        for (int k = 0; k < 3 && i < limbs; k++, i++) {
            bp_u128 d = (bp_u128)limb[i] + word[k] + carry;
            limb[i] = (uint64_t)d;
            carry = (uint64_t)(d >> 64);
        }
        for (; carry && i < limbs; i++) carry = ++limb[i] == 0;
    }
}

/* The same where pos may be negative: the bits below 2^0 are dropped from the magnitude. They are
 * zero for every product in an exact layout; returns whether one was not. */
BP_INLINE int bp_limbs_add_cut(uint64_t *limb, int limbs, int64_t pos, bp_u128 mag, int neg) {
    int lost = 0;
    if (pos < 0) {
        bp_u128 kept = pos > -128 ? mag >> -pos : 0;
        lost = (pos > -128 ? kept << -pos : 0) != mag;
        mag = kept;
        pos = 0;
    }
    if (mag) bp_limbs_add(limb, limbs, pos, mag, neg);
    return lost;
}

/* Whether the value fits in `width` bits: all bits from width-1 up are copies of the sign. */
BP_INLINE int bp_limbs_fit(const uint64_t *limb, bp_layout l) {
    int i = (l.width - 1) >> 6;
    int64_t top = (int64_t)limb[i] >> ((l.width - 1) & 63);
    int ok = top == 0 || top == -1;
    for (i++; i < l.limbs; i++) ok &= limb[i] == (uint64_t)top;
    return ok;
}

/* A pattern's exact value: integer * 2^scale with at most f_max + 1 <= 62 bits; 0 for zero. */
typedef struct {
    uint64_t integer;
    int64_t scale;
} bp_exact;
BP_INLINE bp_exact bp_exact_of(int64_t p, bp_spec s) {
    bp_num64 u = bp_unpack64(bp_body64(p), s);
    const int f = bp_f_max(s);
    bp_exact x = {u.sig >> (63 - f), u.scale - f};
    return x;
}

#endif
