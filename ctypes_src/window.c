/* Many exact sums at once: planes of 32-bit digits, added to without carries. */
#include "blocks.h"
#include "limbs.h"
#include "operand.h"

/* Bits 0 ... 31 of mag * 2^at, for any at; mag < 2^63. */
BP_INLINE uint64_t bp_digit_at(uint64_t mag, int64_t at) {
    uint64_t up = (uint64_t)(at < 0 ? 0 : at > 63 ? 63 : at);
    uint64_t down = (uint64_t)(at > 0 ? 0 : at < -63 ? 63 : -at);
    return ((mag << up) >> down) & BP_LOW32; /* one of the two is 0, so nothing is lost between */
}

/* A block of terms sig[i] * 2^at[i], |sig| < 2^63, at >= 0 counted from the window's low end; all
 * their bits lie in planes first_plane ... last_plane. */
BP_INLINE void bp_add_terms(bp_window w, size_t first, size_t step, size_t count,
                            const int64_t *sig, const int32_t *at, int32_t first_plane,
                            int32_t last_plane) {
    for (int32_t k = first_plane; k <= last_plane; k++) {
        int64_t *to = w.digit + (size_t)k * w.count + first;
        if (step == 1) {
            BP_INDEPENDENT
            for (size_t i = 0; i < count; i++) {
                uint64_t sign = bp_sign64(sig[i]);
                uint64_t d = bp_digit_at(bp_body64(sig[i]), (int64_t)at[i] - 32 * (int64_t)k);
                to[i] += (int64_t)((d ^ sign) - sign);
            }
        } else {
            for (size_t i = 0; i < count; i++) {
                uint64_t sign = bp_sign64(sig[i]);
                uint64_t d = bp_digit_at(bp_body64(sig[i]), (int64_t)at[i] - 32 * (int64_t)k);
                to[i * step] += (int64_t)((d ^ sign) - sign);
            }
        }
    }
}

/* The same for |sig| < 2^31 and up to four planes, all at once: plane at / 32 takes the low 32 bits
 * of |sig| * 2^(at mod 32), and the next one the rest. */
BP_INLINE void bp_add_short(bp_window w, size_t first, size_t count, const int64_t *sig,
                            const int32_t *at, int32_t first_plane, const int planes) {
    int64_t *to = w.digit + (size_t)first_plane * w.count + first;
    BP_INDEPENDENT
    for (size_t i = 0; i < count; i++) {
        int64_t t = (int64_t)at[i] - 32 * (int64_t)first_plane, plane = t >> 5;
        uint64_t v = bp_body64(sig[i]) << (t & 31), sign = bp_sign64(sig[i]);
        int64_t low = (int64_t)(((v & BP_LOW32) ^ sign) - sign);
        int64_t high = (int64_t)(((v >> 32) ^ sign) - sign);
        for (int k = 0; k < planes; k++) {
            int64_t d = plane == k ? low : 0;
            to[(size_t)k * w.count + i] += plane == k - 1 ? high : d;
        }
    }
}

BP_INLINE int bp_add_few(bp_window w, size_t first, size_t count, const int64_t *sig,
                         const int32_t *at, int32_t first_plane, int32_t last_plane) {
    switch (last_plane - first_plane + 1) {
    case 1: bp_add_short(w, first, count, sig, at, first_plane, 1); return 1;
    case 2: bp_add_short(w, first, count, sig, at, first_plane, 2); return 1;
    case 3: bp_add_short(w, first, count, sig, at, first_plane, 3); return 1;
    case 4: bp_add_short(w, first, count, sig, at, first_plane, 4); return 1;
    default: return 0;
    }
}

/* The multiple that a term is added by: by = integer * 2^scale, odd or zero. */
typedef struct {
    int64_t integer;
    int32_t scale, bits;
} bp_factor;
BP_INLINE bp_factor bp_factor_of(int64_t by, bp_spec s) {
    bp_exact x = bp_exact_of(by, s);
    bp_factor f = {0, 0, 0};
    if (x.integer == 0) return f;
    int zeros = __builtin_ctzll(x.integer);
    f.integer = (int64_t)(x.integer >> zeros);
    f.scale = (int32_t)x.scale + zeros;
    f.bits = 64 - (int)bp_lead64((uint64_t)f.integer);
    f.integer = by < 0 ? -f.integer : f.integer;
    return f;
}

/* sig *= integer where that fits 63 bits; else both are split into halves of 31 bits. */
BP_INLINE void bp_add_multiple(const bp_spec s, bp_window w, size_t first, size_t step,
                               size_t count, const int64_t *sig, const int32_t *at, bp_factor by,
                               int32_t first_plane, int32_t last_plane) {
    int64_t term[BP_BLOCK];
    int32_t to[BP_BLOCK];
    const int64_t sign = by.integer < 0 ? -1 : 1, mag = by.integer * sign;
    if (bp_f_max(s) + 1 + by.bits <= 62) {
        for (size_t i = 0; i < count; i++) term[i] = sig[i] * by.integer;
        bp_add_terms(w, first, step, count, term, at, first_plane, last_plane);
        return;
    }
    for (int h = 0; h < 4; h++) {
        int64_t factor = sign * (h & 1 ? mag >> 31 : mag & 0x7fffffff);
        for (size_t i = 0; i < count; i++) {
            int64_t v = sig[i], m = v < 0 ? -v : v, part = h & 2 ? m >> 31 : m & 0x7fffffff;
            term[i] = (v < 0 ? -part : part) * factor;
            to[i] = at[i] + 31 * ((h & 1) + (h >> 1));
        }
        bp_add_terms(w, first, step, count, term, to, first_plane, last_plane);
    }
}

BP_INLINE size_t bp_add_array(const bp_spec s, bp_window w, size_t first, size_t step, size_t count,
                              const void *p, ptrdiff_t sp, int64_t by, int32_t *need) {
    const int size = bp_size(s), f = bp_f_max(s);
    const bp_factor factor = bp_factor_of(by, s);
    bp_buffer room;
    bp_operand x;
    int32_t at[BP_BLOCK];
    for (size_t i = 0; i < count; i += BP_BLOCK) {
        size_t n = bp_step(count, i), start = first + i * step;
        const void *bits = bp_gather(p, sp, i, n, size, &room);
        bp_read(s, n, bits, &x);
        if (x.nar | (by == bp_nar(s)))
            for (size_t k = 0; k < n; k++)
                w.nar[start + k * step] |=
                    (by == bp_nar(s)) | (bp_load(bits, k, size) == bp_nar(s));
        if (factor.integer == 0) continue;
        if (x.low > x.high) continue; /* all zero */
        const int32_t shift = factor.scale - w.low, low = x.low + shift, high = x.high + shift;
        for (size_t k = 0; k < n; k++) at[k] = x.scale[k] + shift;
        int32_t end = high + f + 1 + factor.bits;
        if (low < 0 || end > 32 * w.planes) {
            need[0] = low + w.low, need[1] = end + w.low;
            return i;
        }
        const int32_t plane = low >> 5, last = (end - 1) >> 5;
        const int fits = f <= 30 && factor.integer == 1 && step == 1;
        if (fits && bp_add_few(w, start, n, x.sig, at, plane, last)) continue;
        if (factor.integer == 1) bp_add_terms(w, start, step, n, x.sig, at, plane, last);
        else bp_add_multiple(s, w, start, step, n, x.sig, at, factor, plane, last);
    }
    return count;
}

BP_CLONES size_t bp_window_add(bp_spec s, bp_window w, size_t first, size_t step, size_t count,
                               const void *p, ptrdiff_t sp, int64_t by, int32_t *need) {
    size_t done = 0;
    BP_WITH_SPEC(s, done = bp_add_array(S, w, first, step, count, p, sp, by, need));
    return done;
}

/* |x| <= 2^51: adding 3 * 2^51 puts the integer into the low bits of the double. */
BP_INLINE int64_t bp_integer(double x) {
    return (int64_t)(bp_bits_f64(x + 0x1.8p52) - bp_bits_f64(0x1.8p52));
}

BP_CLONES void bp_window_add_f64(bp_window w, size_t first, size_t count, const double *x,
                                 int32_t exponent) {
    const int32_t at = exponent - w.low;
    for (size_t i = 0; i < count; i += BP_BLOCK) { /* block by block, for the cache */
        size_t n = bp_step(count, i);
        for (int32_t k = at >> 5; k <= (at + 51) >> 5 && k < w.planes; k++) {
            int64_t *to = w.digit + (size_t)k * w.count + first + i;
            const double *from = x + i;
            const uint64_t up = at > 32 * k ? (uint64_t)(at - 32 * k) : 0;
            const uint64_t down = at < 32 * k ? (uint64_t)(32 * k - at) : 0;
            BP_INDEPENDENT
            for (size_t j = 0; j < n; j++) {
                int64_t v = bp_integer(from[j]);
                uint64_t sign = bp_sign64(v), d = ((bp_body64(v) << up) >> down) & BP_LOW32;
                to[j] += (int64_t)((d ^ sign) - sign);
            }
        }
    }
}

void bp_window_add_dot(bp_spec s, bp_window w, size_t first, size_t count, const void *a,
                       ptrdiff_t sa, const void *b, ptrdiff_t sb) {
    const bp_layout l = bp_exact_layout(s);
    uint64_t limb[BP_MAX_LIMBS];
    int32_t flags = 0;
    memset(limb, 0, (size_t)l.limbs * 8);
    bp_quire_dot(s, l, limb, &flags, count, a, sa, b, sb);
    if (flags & BP_NAR) w.nar[first] = 1;
    const int negative = (int)(limb[l.limbs - 1] >> 63);
    if (negative) bp_quire_negate(l, limb, &flags);
    for (int i = 0; i < l.limbs; i++) {
        for (int half = 0; half < 2; half++) {
            uint64_t part = half ? limb[i] >> 32 : limb[i] & BP_LOW32;
            if (part == 0) continue;
            int64_t value = negative ? -(int64_t)part : (int64_t)part;
            int32_t at = l.lsb + 64 * i + 32 * half - w.low;
            if (at < 0) value = negative ? -(int64_t)(part >> -at) : (int64_t)(part >> -at), at = 0;
            int32_t last = (at + 31) >> 5;
            last = last < w.planes ? last : w.planes - 1; /* whose bits are zero */
            bp_add_terms(w, first, 1, 1, &value, &at, at >> 5, last);
        }
    }
}

BP_CLONES int64_t bp_window_carry(bp_window w) {
    int64_t most = 0;
    if (w.planes == 0) return 0;
    for (size_t first = 0; first < w.count; first += BP_BLOCK) {
        size_t n = bp_step(w.count, first);
        for (int32_t k = 0; k + 1 < w.planes; k++) {
            int64_t *low = w.digit + (size_t)k * w.count + first, *high = low + w.count;
            BP_INDEPENDENT
            for (size_t i = 0; i < n; i++) {
                high[i] += low[i] >> 32;
                low[i] &= (int64_t)BP_LOW32;
            }
        }
        const int64_t *top = w.digit + (size_t)(w.planes - 1) * w.count + first;
        for (size_t i = 0; i < n; i++) {
            int64_t mag = (int64_t)bp_body64(top[i]);
            most = mag > most ? mag : most;
        }
    }
    return most;
}
