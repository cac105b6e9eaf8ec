/* One exact accumulator: add, multiply-add, merge, negate, round. */
#include "limbs.h"

bp_layout bp_exact_layout(bp_spec s) {
    int64_t f_min = s.n - 1 - s.rs - s.es, reach = bp_reach(s), lsb = -2 * (reach + f_min);
    int64_t top = 2 * reach;
    if (f_min < 0) top = 2 * (reach - ((int64_t)1 << -f_min)), lsb = -top;
    int32_t width = (int32_t)(32 + top - lsb);
    bp_layout l = {(int32_t)lsb, width, width / 64 + 1, 1};
    return l;
}

/* Closes every operation: NaR absorbs, and a value beyond the layout's width has become NaR. */
static void bp_settle(bp_layout l, uint64_t *limb, int32_t *flags, int flag) {
    *flags |= flag;
    if (!bp_limbs_fit(limb, l)) *flags |= BP_NAR;
    if (*flags & BP_NAR) memset(limb, 0, (size_t)l.limbs * 8);
}

void bp_quire_add(bp_spec s, bp_layout l, uint64_t *limb, int32_t *flags, int64_t p, int negate) {
    bp_exact x = bp_exact_of(p, s);
    int lost = bp_limbs_add_cut(limb, l.limbs, x.scale - l.lsb, x.integer, (p < 0) ^ (negate != 0));
    bp_settle(l, limb, flags, (p == bp_nar(s) ? BP_NAR : 0) | (lost ? BP_INEXACT : 0));
}

void bp_quire_fma(bp_spec s, bp_layout l, uint64_t *limb, int32_t *flags, int64_t a, int64_t b,
                  int negate) {
    bp_exact x = bp_exact_of(a, s), y = bp_exact_of(b, s);
    int nar = a == bp_nar(s) || b == bp_nar(s);
    int lost = bp_limbs_add_cut(limb, l.limbs, x.scale + y.scale - l.lsb,
                                (bp_u128)x.integer * y.integer, (a < 0) ^ (b < 0) ^ (negate != 0));
    bp_settle(l, limb, flags, (nar ? BP_NAR : 0) | (lost ? BP_INEXACT : 0));
}

void bp_quire_merge(bp_layout l, uint64_t *limb, int32_t *flags, const uint64_t *other,
                    int32_t other_flags) {
    uint64_t carry = 0;
    for (int i = 0; i < l.limbs; i++) {
        bp_u128 d = (bp_u128)limb[i] + other[i] + carry;
        limb[i] = (uint64_t)d;
        carry = (uint64_t)(d >> 64);
    }
    bp_settle(l, limb, flags, other_flags);
}

void bp_quire_negate(bp_layout l, uint64_t *limb, int32_t *flags) {
    uint64_t carry = 1;
    for (int i = 0; i < l.limbs; i++) {
        limb[i] = ~limb[i] + carry;
        carry = carry && limb[i] == 0;
    }
    bp_settle(l, limb, flags, 0); /* -2^(width-1) has no opposite in `width` bits */
}

int64_t bp_quire_round(bp_spec s, bp_layout l, const uint64_t *limb, int32_t flags) {
    if (flags & BP_NAR) return bp_nar(s);
    uint64_t mag[BP_MAX_LIMBS];
    const int neg = (int)(limb[l.limbs - 1] >> 63);
    uint64_t carry = (uint64_t)neg;
    int top = -1;
    for (int i = 0; i < l.limbs; i++) {
        mag[i] = (neg ? ~limb[i] : limb[i]) + carry;
        carry = carry && mag[i] == 0;
        if (mag[i]) top = i;
    }
    if (top < 0) return 0;
    int64_t lead = bp_lead64(mag[top]);
    uint64_t below = top ? mag[top - 1] : 0;
    uint64_t sig = mag[top] << lead | below >> 1 >> (63 - lead);
    uint64_t sticky = below << lead;
    for (int i = top - 2; i >= 0; i--) sticky |= mag[i];
    int64_t body = (int64_t)bp_pack64(l.lsb + 64 * (int64_t)top + 63 - lead, sig, sticky, s);
    return neg ? -body : body;
}
