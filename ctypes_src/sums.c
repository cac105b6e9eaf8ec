/* Element-wise sums of a few arrays, rounded once, and what that rounding lost, rounded once.
 *
 * A sum is kept as a pair of doubles: `sum`, and `error`, which adds up what every addition lost.
 * Nothing is lost unless an addition to `error` is itself inexact; that is seen, and the block is
 * done again in integers. Otherwise the pairs are the exact sums, and pairs.h says why rounding
 * them to odd, and then to posits, rounds once. The loops know no format: cast.c brings a block of
 * doubles to the first-level cache and away again.
 */
#include "lanes.h"
#include "limbs.h"
#include "pairs.h"

/* Fewer than 2^20 terms below 2^1002 stay far below 2^1024. */
BP_INLINE int bp_in_pairs(bp_spec s) { return bp_fits_f64(s) && bp_sums_are_normal(s); }

typedef struct {
    double sum[BP_BLOCK], error[BP_BLOCK];
} bp_pairs;

/* x = a + b */
BP_CLONES static void bp_pairs_begin(bp_pairs *x, size_t count, const double *a, const double *b) {
    for (size_t i = 0; i < count; i++) {
        bp_pair sum = bp_two_sum(a[i], b[i]);
        x->sum[i] = sum.high;
        x->error[i] = sum.low;
    }
}

/* x += term * sign, with a sign of 1 or -1. Returns 0 if that is exact everywhere. */
BP_CLONES static uint64_t bp_pairs_add(bp_pairs *x, size_t count, const double *term, double sign) {
    uint64_t lost = 0;
    for (size_t i = 0; i < count; i++) {
        bp_pair sum = bp_two_sum(x->sum[i], sign * term[i]);
        bp_pair error = bp_two_sum(x->error[i], sum.low);
        x->sum[i] = sum.high;
        x->error[i] = error.high;
        lost |= bp_bits_f64(error.low) << 1;
    }
    return lost;
}

/* The sums rounded to odd; x becomes the same sums, of which `sum` is the nearest double. Returns 0
 * if all of them are doubles. */
BP_CLONES static uint64_t bp_pairs_odd(bp_pairs *x, size_t count, double *odd) {
    uint64_t inexact = 0;
    for (size_t i = 0; i < count; i++) {
        bp_pair sum = bp_two_sum(x->sum[i], x->error[i]);
        x->sum[i] = sum.high;
        x->error[i] = sum.low;
        odd[i] = bp_to_odd(sum);
        inexact |= bp_bits_f64(sum.low) << 1;
    }
    return inexact;
}

/* A block of a term, as doubles. */
static void bp_term_values(bp_addend t, size_t first, size_t count, double *x) {
    const char *from = (const char *)t.at + (ptrdiff_t)first * t.stride;
    if (t.values) bp_round_f64(t.spec, count, from, t.stride, x, 8);
    else bp_decode_f64(t.spec, count, from, t.stride, x, 8, 0);
    if (t.factor == 1) return;
    for (size_t i = 0; i < count; i++) x[i] *= t.factor; /* exact: codec.h, bp_via_f64 */
    bp_round_f64(t.spec, count, x, 8, x, 8);
}

/* A block of a result, from doubles rounded to odd or already nearest, to where it belongs. */
static void bp_put_values(bp_result r, size_t first, size_t count, const double *x, int nearest) {
    char *to = (char *)r.at + (ptrdiff_t)first * r.stride;
    if (!r.values) bp_encode_f64(r.spec, count, x, 8, to, r.stride);
    else if (nearest) bp_copy(to, r.stride, (const char *)x, 8, count, 8);
    else bp_round_f64(r.spec, count, x, 8, to, r.stride);
}

/* A block of sums; returns whether all are exact and so rounded right, else nothing is written. */
static int bp_sum_pairs(size_t terms, const bp_addend *term, size_t first, size_t count,
                        bp_result to, bp_result rest) {
    double value[BP_BLOCK], made[BP_BLOCK], odd[BP_BLOCK];
    bp_pairs x;
    uint64_t lost = 0;
    for (size_t k = 0; k < terms; k++) {
        bp_term_values(term[k], first, count, k ? value : made);
        if (k == 1) bp_pairs_begin(&x, count, made, value);
        if (k > 1) lost |= bp_pairs_add(&x, count, value, 1);
    }
    if (terms == 1) {
        memset(value, 0, sizeof value);
        bp_pairs_begin(&x, count, made, value);
    }
    uint64_t inexact = bp_pairs_odd(&x, count, odd);
    lost |= bp_odd_rounds(to.spec) ? 0 : inexact;
    if (rest.at != NULL) {
        bp_round_f64(to.spec, count, odd, 8, made, 8);
        lost |= bp_pairs_add(&x, count, made, -1);
        inexact = bp_pairs_odd(&x, count, odd);
        lost |= bp_odd_rounds(rest.spec) ? 0 : inexact;
    }
    if (lost) return 0;
    if (rest.at == NULL) {
        bp_put_values(to, first, count, odd, 0);
    } else {
        bp_put_values(to, first, count, made, 1);
        bp_put_values(rest, first, count, odd, 0);
    }
    return 1;
}

/* ---- the same in integers of 128 bits, for any format --------------------------------------- */

/* The sum is high:low * 2^(top - 120) in two's complement, for terms below 2^(top + 1). Up to 30 of
 * them stay below bit 126, and so does what is taken away: at most 2^(top + 6). */
enum { MOST_WORDS = 30 };
typedef struct {
    uint64_t high[BP_BLOCK], low[BP_BLOCK];
    int64_t top[BP_BLOCK];
    uint64_t lost[BP_BLOCK]; /* 0 where the sum is exact */
} bp_words;

/* A block as parts.c has it, and masks of the negative ones. */
typedef struct {
    uint64_t sig[BP_BLOCK], negative[BP_BLOCK];
    int64_t scale[BP_BLOCK];
} bp_signed;

BP_INLINE void bp_signs(bp_words *x, size_t count, const void *bits, const int size, int64_t nar,
                        uint64_t *negative) {
    for (size_t i = 0; i < count; i++) {
        int64_t p = bp_load(bits, i, size);
        negative[i] = bp_sign64(p);
        x->lost[i] |= p == nar;
    }
}

static void bp_words_read(bp_words *x, size_t count, bp_spec s, const void *bits, bp_signed *y) {
    bp_to_parts(s, count, bits, y->sig, y->scale);
    switch (bp_size(s)) {
    case 1: bp_signs(x, count, bits, 1, bp_nar(s), y->negative); break;
    case 2: bp_signs(x, count, bits, 2, bp_nar(s), y->negative); break;
    case 4: bp_signs(x, count, bits, 4, bp_nar(s), y->negative); break;
    default: bp_signs(x, count, bits, 8, bp_nar(s), y->negative);
    }
}

/* x += y, or x -= y where `flip` is all ones */
BP_CLONES static void bp_words_add(bp_words *x, size_t count, const bp_signed *y, uint64_t flip) {
    for (size_t i = 0; i < count; i++) {
        uint64_t sig = y->sig[i], below = (uint64_t)(x->top[i] + 7 - y->scale[i]); /* bit 127 */
        uint64_t inside = below - 2 <= 125 ? below : 127, shift = inside & 63;
        uint64_t near = (inside >> 6) - 1; /* a mask: less than 64 */
        uint64_t first = sig >> shift, second = sig << 1 << (63 - shift);
        uint64_t high = first & near, low = (second & near) | (first & ~near);
        uint64_t sign = y->negative[i] ^ flip, l = (low ^ sign) - sign, sum = x->low[i] + l;
        uint64_t h = (high ^ sign) + ((1 - bp_some64(low)) & sign);
        x->high[i] += h + (sum < l ? 1 : 0);
        x->low[i] = sum;
        x->lost[i] |= (second & ~near) | (below - 2 <= 125 ? 0 : sig);
    }
}

/* Magnitudes, rounded to odd at 64 bits as parts.c wants them. */
BP_CLONES static void bp_words_odd(const bp_words *x, size_t count, bp_signed *y) {
    for (size_t i = 0; i < count; i++) {
        uint64_t sign = bp_sign64((int64_t)x->high[i]), low = (x->low[i] ^ sign) - sign;
        uint64_t high = (x->high[i] ^ sign) + ((1 - bp_some64(low)) & sign);
        uint64_t upper = bp_some64(high), word = upper ? high : low, rest = upper ? low : 0;
        /* the exponent of a double: x & ~(x >> 1) does not round up to the next power of two */
        double d = (double)(word & ~(word >> 1));
        int64_t position = (int64_t)(bp_bits_f64(d) >> 52) - 1023; /* -1023 for zero */
        uint64_t up = (uint64_t)(63 - position) & 63;
        y->sig[i] = word << up | (rest >> 1) >> (63 - up) | bp_some64(rest << up);
        y->scale[i] = x->top[i] - 120 + position + (int64_t)(upper << 6);
        y->negative[i] = sign;
    }
}

BP_INLINE void bp_negate(size_t count, const uint64_t *negative, void *bits, const int size) {
    BP_INDEPENDENT
    for (size_t i = 0; i < count; i++) {
        int64_t sign = (int64_t)negative[i];
        bp_store(bits, i, size, (bp_load(bits, i, size) ^ sign) - sign);
    }
}

static void bp_words_round(const bp_words *x, size_t count, bp_spec s, void *out, bp_signed *y) {
    bp_words_odd(x, count, y);
    bp_from_parts(s, count, y->sig, y->scale, out);
    switch (bp_size(s)) {
    case 1: bp_negate(count, y->negative, out, 1); break;
    case 2: bp_negate(count, y->negative, out, 2); break;
    case 4: bp_negate(count, y->negative, out, 4); break;
    default: bp_negate(count, y->negative, out, 8);
    }
}

/* Term k of a block, as patterns. */
static const void *bp_term_bits(bp_addend t, size_t first, size_t count, bp_buffer *room) {
    const char *from = (const char *)t.at + (ptrdiff_t)first * t.stride;
    const int size = bp_size(t.spec);
    if (!t.values && t.factor == 1) return bp_gather(from, t.stride, 0, count, size, room);
    double value[BP_BLOCK];
    bp_term_values(t, first, count, value);
    bp_encode_f64(t.spec, count, value, 8, room, size);
    return room;
}

/* The same, in parts. */
static void bp_term_parts(bp_words *x, size_t count, bp_addend t, size_t first, bp_signed *y) {
    bp_buffer room;
    bp_words_read(x, count, t.spec, bp_term_bits(t, first, count, &room), y);
}

/* A block of sums; `lost` tells which are not exact, and NaR. */
static void bp_sum_words(size_t terms, const bp_addend *term, size_t first, size_t count,
                         bp_spec to, void *made, bp_spec rest, void *left, uint64_t *lost) {
    bp_words x;
    bp_signed y;
    memset(&x, 0, sizeof x);
    for (size_t i = 0; i < count; i++) x.top[i] = -(1 << 20);
    for (size_t k = 0; k < terms; k++) {
        bp_term_parts(&x, count, term[k], first, &y);
        for (size_t i = 0; i < count; i++)
            x.top[i] = y.sig[i] && y.scale[i] > x.top[i] ? y.scale[i] : x.top[i];
    }
    for (size_t k = 0; k < terms; k++) {
        bp_term_parts(&x, count, term[k], first, &y);
        bp_words_add(&x, count, &y, 0);
    }
    bp_words_round(&x, count, to, made, &y);
    if (left != NULL) {
        bp_words_read(&x, count, to, made, &y);
        bp_words_add(&x, count, &y, ~(uint64_t)0);
        bp_words_round(&x, count, rest, left, &y);
    }
    memcpy(lost, x.lost, count * sizeof *lost);
}

/* ---- the definition ------------------------------------------------------------------------- */

/* A quire for patterns of all these formats. */
static bp_layout bp_common_layout(size_t terms, const bp_addend *term, bp_spec s) {
    bp_layout l = bp_exact_layout(s);
    for (size_t k = 0; k < terms; k++) {
        bp_layout other = bp_exact_layout(term[k].spec);
        int32_t end = l.lsb + l.width, top = other.lsb + other.width;
        l.lsb = other.lsb < l.lsb ? other.lsb : l.lsb;
        l.width = (top > end ? top : end) - l.lsb;
    }
    l.limbs = l.width / 64 + 1;
    return l;
}

/* Element i, to made[at] and left[at]. */
static void bp_sum_one(size_t terms, const bp_addend *term, size_t i, bp_spec to, void *made,
                       bp_spec rest, void *left, size_t at) {
    const bp_layout l = bp_common_layout(terms, term, to);
    uint64_t limb[BP_MAX_LIMBS];
    int32_t flags = 0;
    memset(limb, 0, (size_t)l.limbs * 8);
    for (size_t k = 0; k < terms; k++) {
        bp_buffer one;
        const void *bits = bp_term_bits(term[k], i, 1, &one);
        bp_quire_add(term[k].spec, l, limb, &flags, bp_load(bits, 0, bp_size(term[k].spec)), 0);
    }
    int64_t p = bp_quire_round(to, l, limb, flags);
    bp_store(made, at, bp_size(to), p);
    bp_quire_add(to, l, limb, &flags, p, 1);
    bp_store(left, at, bp_size(rest), bp_quire_round(rest, l, limb, flags));
}

/* ---- arrays ------------------------------------------------------------------------------- */

static void bp_put_bits(bp_result r, size_t first, size_t count, const bp_buffer *from) {
    const int size = bp_size(r.spec);
    char *to = (char *)r.at + (ptrdiff_t)first * r.stride;
    if (r.values) bp_decode_f64(r.spec, count, from, size, to, r.stride, 0);
    else bp_copy(to, r.stride, (const char *)from, size, count, size);
}

static int bp_all_in_pairs(size_t terms, const bp_addend *term, bp_spec to, bp_spec rest) {
    int in_pairs = terms < 1 << 20 && bp_in_pairs(to) && bp_in_pairs(rest);
    for (size_t k = 0; k < terms; k++) in_pairs &= bp_in_pairs(term[k].spec);
    return in_pairs;
}

void bp_sum_of(size_t terms, const bp_addend *term, size_t count, bp_result nearest,
               bp_result rest) {
    const bp_spec to = nearest.spec, other = rest.at ? rest.spec : to;
    const int in_pairs = bp_all_in_pairs(terms, term, to, other), in_words = terms <= MOST_WORDS;
    for (size_t i = 0; i < count; i += BP_BLOCK) { /* complete before it overwrites a term */
        const size_t n = bp_step(count, i);
        if (in_pairs && bp_sum_pairs(terms, term, i, n, nearest, rest)) continue;
        bp_buffer made, room;
        uint64_t lost[BP_BLOCK];
        void *left = rest.at ? &room : NULL;
        if (in_words) bp_sum_words(terms, term, i, n, to, &made, other, left, lost);
        for (size_t k = 0; k < n; k++)
            if (!in_words || lost[k]) bp_sum_one(terms, term, i + k, to, &made, other, &room, k);
        bp_put_bits(nearest, i, n, &made);
        if (left != NULL) bp_put_bits(rest, i, n, &room);
    }
}
