/* Arithmetic in one word size. codec.h includes this text once for each BP_W in {32, 64, 128}.
 *
 * Needs W >= 2n. A significand has q = f_max + 1 <= n - 2 bits, so a product has 2q <= W - 4:
 * it leaves one bit for a carry and at least three below. That is all that an addition needs: when
 * the smaller operand loses bits to the jam bit, it was shifted by more than three places, so at
 * most one leading bit cancels, and the result still has more than q + 2 bits above the jam bit.
 */

typedef struct {
    BP_WORD sig;    /* bit W-1 set, or 0 for zero */
    BP_SCALE scale;
    BP_WORD neg;    /* 0 or 1 */
} BP_NAME(bp_term);

BP_INLINE BP_NAME(bp_term) BP_NAME(bp_term_of)(BP_SIGNED p, bp_spec s) {
    BP_NAME(bp_num) u = BP_UNPACK(p, s);
    BP_NAME(bp_term) t = {u.sig, u.scale, p < 0};
    return t;
}

BP_INLINE BP_SIGNED BP_NAME(bp_pattern)(BP_NAME(bp_term) t, BP_WORD sticky, bp_spec s) {
    BP_SIGNED body = (BP_SIGNED)BP_PACK(t, sticky, s); /* < 2^(n-1) */
    return t.sig == 0 ? 0 : t.neg ? -body : body;
}

/* a + b, rounded. Zero operands have sig = 0 and any scale. */
BP_INLINE BP_SIGNED BP_NAME(bp_sum)(BP_NAME(bp_term) a, BP_NAME(bp_term) b, bp_spec s) {
    int a_first = b.sig == 0 || (a.sig != 0 && (a.scale > b.scale || (a.scale == b.scale && a.sig >= b.sig)));
    BP_NAME(bp_term) hi, lo;
    hi.sig = a_first ? a.sig : b.sig, lo.sig = a_first ? b.sig : a.sig;
    hi.scale = a_first ? a.scale : b.scale, lo.scale = a_first ? b.scale : a.scale;
    hi.neg = a_first ? a.neg : b.neg;
    BP_WORD differ = a.neg ^ b.neg;
    BP_SCALE d = hi.scale - lo.scale;
    d = d < 0 || d > BP_W - 1 ? BP_W - 1 : d; /* d < 0 only where lo is zero */
    BP_WORD tail = lo.sig >> 1;
    BP_WORD kept = tail >> d;
    BP_WORD jam = kept | (BP_WORD)(kept << d != tail);
    BP_WORD sum = (hi.sig >> 1) + (differ ? 0 - jam : jam); /* < 2^W: both terms are < 2^(W-1) */
    BP_SCALE lead = BP_NAME(bp_lead)(sum | 1);
    BP_NAME(bp_term) t = {sum << lead, hi.scale + 1 - lead, hi.neg};
    return BP_NAME(bp_pattern)(t, 0, s);
}

/* The exact product: 2q bits, bit W-1 set. */
BP_INLINE BP_NAME(bp_term) BP_NAME(bp_product)(BP_NAME(bp_term) a, BP_NAME(bp_term) b, bp_spec s) {
    const int q = (s.n - 3 - s.es > 0 ? s.n - 3 - s.es : 0) + 1;
    BP_WORD p = BP_NAME(bp_times)(a.sig >> (BP_W - q), b.sig >> (BP_W - q)) << (BP_W - 2 * q);
    BP_WORD top = p >> (BP_W - 1);
    BP_NAME(bp_term) t = {top ? p : p << 1, a.scale + b.scale + (BP_SCALE)top, a.neg ^ b.neg};
    return t;
}

BP_INLINE BP_SIGNED BP_NAME(bp_add)(BP_SIGNED a, BP_SIGNED b, bp_spec s) {
    return BP_NAME(bp_sum)(BP_NAME(bp_term_of)(a, s), BP_NAME(bp_term_of)(b, s), s);
}

BP_INLINE BP_SIGNED BP_NAME(bp_mul)(BP_SIGNED a, BP_SIGNED b, bp_spec s) {
    BP_NAME(bp_term) x = BP_NAME(bp_term_of)(a, s), y = BP_NAME(bp_term_of)(b, s);
    return BP_NAME(bp_pattern)(BP_NAME(bp_product)(x, y, s), 0, s);
}

BP_INLINE BP_SIGNED BP_NAME(bp_fma)(BP_SIGNED a, BP_SIGNED b, BP_SIGNED c, bp_spec s) {
    BP_NAME(bp_term) x = BP_NAME(bp_term_of)(a, s), y = BP_NAME(bp_term_of)(b, s);
    return BP_NAME(bp_sum)(BP_NAME(bp_product)(x, y, s), BP_NAME(bp_term_of)(c, s), s);
}

/* The quotient has at least W - q >= n + 2 bits; the remainder is its sticky bit. b is not zero. */
BP_INLINE BP_SIGNED BP_NAME(bp_div)(BP_SIGNED a, BP_SIGNED b, bp_spec s) {
    const int q = (s.n - 3 - s.es > 0 ? s.n - 3 - s.es : 0) + 1;
    BP_NAME(bp_term) x = BP_NAME(bp_term_of)(a, s), y = BP_NAME(bp_term_of)(b, s);
    BP_WORD den = y.sig >> (BP_W - q);
    BP_WORD quot = x.sig / den, rem = x.sig % den; /* sig is the numerator shifted up by W - q */
    BP_SCALE lead = BP_NAME(bp_lead)(quot | 1);
    /* quot = (x/y) * 2^(W-q) with 1/2 < x/y < 2, so its leading bit stands at W-q or W-q-1 */
    BP_NAME(bp_term) t = {quot << lead, x.scale - y.scale + (q - 1) - lead, x.neg ^ y.neg};
    return BP_NAME(bp_pattern)(t, rem != 0, s);
}
