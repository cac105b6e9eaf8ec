/* Exact sums of two doubles, and their rounding to odd: the way through float64 where plain float64
 * would round twice.
 *
 * A real number rounded to odd is itself where it is a double, else the one of its two neighbours
 * whose last bit is set. No even double lies between the number and that neighbour, so both lie on
 * the same side of every boundary between posits: those have at most f_max + 2 significant bits,
 * and f_max + 2 <= 52 makes them even doubles. Hence rounding the odd double to a posit rounds once
 * (Boldo and Melquiond, Emulation of a FMA and correctly rounded sums, 2008).
 */
#ifndef BPOSIT_PAIRS_H
#define BPOSIT_PAIRS_H

#include "codec.h"

BP_INLINE int bp_odd_rounds(bp_spec s) { return bp_f_max(s) <= 50 && bp_fits_f64(s); }

/* Sums of such posits, and errors of sums, are multiples of 2^-1002: never subnormal, so that it
 * does not matter whether the thread flushes those to zero. */
BP_INLINE int bp_sums_are_normal(bp_spec s) { return bp_reach(s) + bp_f_max(s) <= 1002; }

typedef struct {
    double high, low; /* high is the double nearest to high + low */
} bp_pair;

/* a + b, exactly (Knuth): nothing underflows, and the caller knows that nothing overflows. */
BP_INLINE bp_pair bp_two_sum(double a, double b) {
    double high = a + b, part = high - a;
    bp_pair x = {high, (a - (high - part)) + (b - part)};
    return x;
}

/* The pair's sum rounded to odd: towards zero, and the last bit tells of what was lost. */
BP_INLINE double bp_to_odd(bp_pair x) {
    uint64_t high = bp_bits_f64(x.high), low = bp_bits_f64(x.low);
    uint64_t some = bp_some64(low << 1), opposite = (high ^ low) >> 63;
    return bp_f64_bits((high - (opposite & some)) | some);
}

#endif
