/* Sums in planes of 32-bit digits, each rounded once. */
#include "blocks.h"
#include "limbs.h"

BP_INLINE int64_t bp_round_sum(const bp_spec s, bp_layout l, bp_window w, size_t i) {
    enum { MAX_DIGITS = 2 * BP_MAX_LIMBS + 4 };
    uint32_t digit[MAX_DIGITS];
    int64_t carry = 0;
    int32_t size = 0;
    for (; size < w.planes; size++) {
        int64_t t = w.digit[(size_t)size * w.count + i] + carry; /* |digit| < 2^63 - 2^32 */
        digit[size] = (uint32_t)t;
        carry = t >> 32;
    }
    digit[size++] = (uint32_t)carry;
    const int negative = carry < 0;
    int32_t top = size - 1;
    if (negative) { /* to the magnitude */
        uint64_t one = 1;
        for (int32_t k = 0; k < size; k++) {
            one += (uint32_t)~digit[k];
            digit[k] = (uint32_t)one;
            one >>= 32;
        }
    }
    while (top >= 0 && digit[top] == 0) top--;
    if (top < 0) return 0;
    uint64_t middle = top >= 1 ? digit[top - 1] : 0, last = top >= 2 ? digit[top - 2] : 0;
    uint64_t high = (uint64_t)digit[top] << 32 | middle;
    int64_t lead = bp_lead64(high); /* 0 ... 31 */
    uint64_t sig = high << lead | (last << lead) >> 32, sticky = (uint32_t)(last << lead);
    for (int32_t k = top - 3; k >= 0; k--) sticky |= digit[k];
    int64_t scale = (int64_t)w.low + 32 * (int64_t)top + 31 - lead;
    if (scale >= (int64_t)l.lsb + l.width - 1) return bp_nar(s);
    int64_t body = (int64_t)bp_pack64(scale, sig, sticky, s);
    return negative ? -body : body;
}

/* A block of sums of up to four planes, in vectors: 128-bit integers with the sign apart. `wide`
 * tells of a sum that needs more bits, or that exceeds the layout. */
BP_INLINE int bp_round_block(const bp_spec s, bp_layout l, bp_window w, size_t first, size_t count,
                             void *out) {
    static const int64_t none[BP_BLOCK];
    const int64_t *digit[4];
    int64_t low[BP_BLOCK], high[BP_BLOCK], scale[BP_BLOCK], sticky[BP_BLOCK], negative[BP_BLOCK];
    int64_t wide = 0;
    for (int k = 0; k < 4; k++)
        digit[k] = k < w.planes ? w.digit + (size_t)k * w.count + first : none;
    for (size_t i = 0; i < count; i++) {
        int64_t t1 = digit[1][i] + (digit[0][i] >> 32), t2 = digit[2][i] + (t1 >> 32);
        int64_t t3 = digit[3][i] + (t2 >> 32);
        uint64_t sign = bp_sign64(t3), a = ((uint64_t)digit[0][i] & BP_LOW32) | (uint64_t)t1 << 32;
        uint64_t b = ((uint64_t)t2 & BP_LOW32) | (uint64_t)t3 << 32, mag = (a ^ sign) - sign;
        uint64_t carry = (1 - bp_some64(mag)) & sign;
        wide |= t3 ^ (int64_t)(int32_t)t3;
        low[i] = (int64_t)mag;
        high[i] = (int64_t)((b ^ sign) + carry);
        negative[i] = (int64_t)sign;
    }
    if (wide) return 0;
    const int64_t top = (int64_t)l.lsb + l.width - 2 - w.low; /* the highest bit that fits */
    for (size_t i = 0; i < count; i++) { /* to a significand with bit 63 set, and what is below */
        uint64_t h = (uint64_t)high[i], m = (uint64_t)low[i];
        uint64_t upper = bp_some64(h), lead_in = upper ? h : m;
        /* the exponent of a double: x & ~(x >> 1) cannot round up to the next power of two */
        double d = (double)(lead_in & ~(lead_in >> 1));
        int64_t position = (int64_t)(bp_bits_f64(d) >> 52) - 1023; /* -1023 for zero */
        uint64_t up = (uint64_t)(63 - position) & 63, rest = upper ? m : 0;
        uint64_t sig = lead_in << up | (rest >> 1) >> (63 - up);
        wide |= position + (int64_t)(upper << 6) > top;
        sticky[i] = (int64_t)(rest << up);
        scale[i] = position + (int64_t)(upper << 6) + w.low;
        low[i] = (int64_t)sig;
    }
    if (wide) return 0;
    for (size_t i = 0; i < count; i++) {
        uint64_t body = bp_pack64(scale[i], (uint64_t)low[i], (uint64_t)sticky[i], s);
        uint64_t sign = (uint64_t)negative[i];
        int64_t p = (int64_t)((body ^ sign) - sign);
        bp_store(out, i, bp_size(s), low[i] ? p : 0);
    }
    return 1;
}

BP_INLINE void bp_round_sums(const bp_spec s, bp_layout l, bp_window w, size_t first, size_t count,
                             void *out) {
    const size_t size = (size_t)bp_size(s);
    for (size_t i = 0; i < count; i += BP_BLOCK) {
        size_t n = bp_step(count, i), at = first + i;
        char *to = (char *)out + i * size;
        if (w.planes > 4 || !bp_round_block(s, l, w, at, n, to))
            for (size_t k = 0; k < n; k++)
                bp_store(to, k, (int)size, bp_round_sum(s, l, w, at + k));
        for (size_t k = 0; k < n; k++)
            if (w.nar[at + k]) bp_store(to, k, (int)size, bp_nar(s));
    }
}

BP_CLONES void bp_window_round(bp_spec s, bp_layout l, bp_window w, size_t first, size_t count,
                               void *out) {
    BP_WITH_SPEC(s, bp_round_sums(S, l, w, first, count, out));
}
