/* Arithmetic in one word size. codec.h includes this text once for each BP_W in {32, 64, 128}.
 *
 * Needs W >= 2n. A significand has q = f_max + 1 <= n - 2 bits, so a product has 2q <= W - 4:
 * it leaves one bit for a carry and at least three below. That is all that an addition needs: when
 * the smaller operand loses bits to the jam bit, it was shifted by more than three places, so at
 * most one leading bit cancels, and the result still has more than q + 2 bits above the jam bit.
 * NaR operands unpack like zeros; the callers put those results right.
 */

typedef struct {
    BP_WORD sig;    /* bit W-1 set, or 0 for zero */
    BP_SCALE scale; /* anything where sig = 0 */
    BP_WORD sign;   /* 0 or all bits set */
} BP_NAME(bp_term);

BP_INLINE BP_NAME(bp_term) BP_NAME(bp_term_of)(BP_SIGNED p, bp_spec s) {
    BP_NAME(bp_num) u = BP_UNPACK(BP_BODY(p), s);
    BP_NAME(bp_term) t = {u.sig, u.scale, BP_SIGN(p)};
    return t;
}

BP_INLINE BP_SIGNED BP_NAME(bp_pattern)(BP_NAME(bp_term) t, BP_WORD sticky, bp_spec s) {
    BP_SIGNED body = (BP_SIGNED)BP_PACK(t, sticky, s), sign = (BP_SIGNED)t.sign;
    BP_SIGNED pattern = (body ^ sign) - sign;
    return t.sig == 0 ? 0 : pattern;
}

/* hi + lo, rounded, for |hi| >= |lo|. */
BP_INLINE BP_SIGNED BP_NAME(bp_sum)(BP_NAME(bp_term) hi, BP_NAME(bp_term) lo, bp_spec s) {
    BP_SCALE d = hi.scale - lo.scale;
    d = d > BP_W - 1 ? BP_W - 1 : d;
    d = d < 0 ? 0 : d; /* only where lo is zero */
    BP_WORD tail = lo.sig >> 1, kept = tail >> d;
    BP_WORD jam = kept | BP_NAME(bp_some)(kept << d ^ tail);
    BP_WORD flip = hi.sign ^ lo.sign;
    BP_WORD sum = (hi.sig >> 1) + ((jam ^ flip) - flip); /* < 2^W: both terms are < 2^(W-1) */
    BP_SCALE lead = BP_NAME(bp_lead)(sum | 1);
    BP_NAME(bp_term) t = {sum << lead, hi.scale + 1 - lead, hi.sign};
    return BP_NAME(bp_pattern)(t, 0, s);
}

/* The exact product: 2q bits, bit W-1 set. */
BP_INLINE BP_NAME(bp_term) BP_NAME(bp_product)(BP_NAME(bp_term) a, BP_NAME(bp_term) b, bp_spec s) {
    const int q = (s.n - 3 - s.es > 0 ? s.n - 3 - s.es : 0) + 1;
    BP_WORD p = BP_NAME(bp_times)(a.sig >> (BP_W - q), b.sig >> (BP_W - q)) << (BP_W - 2 * q);
    BP_WORD top = p >> (BP_W - 1);
    BP_NAME(bp_term) t = {p << (1 - top), a.scale + b.scale + (BP_SCALE)top, a.sign ^ b.sign};
    return t;
}

BP_INLINE BP_SIGNED BP_NAME(bp_add)(BP_SIGNED a, BP_SIGNED b, bp_spec s) {
    BP_SIGNED hi = BP_BODY(a) < BP_BODY(b) ? b : a; /* bodies order as magnitudes */
    BP_SIGNED lo = a ^ b ^ hi;
    return BP_NAME(bp_sum)(BP_NAME(bp_term_of)(hi, s), BP_NAME(bp_term_of)(lo, s), s);
}

BP_INLINE BP_SIGNED BP_NAME(bp_mul)(BP_SIGNED a, BP_SIGNED b, bp_spec s) {
    BP_NAME(bp_term) x = BP_NAME(bp_term_of)(a, s), y = BP_NAME(bp_term_of)(b, s);
    return BP_NAME(bp_pattern)(BP_NAME(bp_product)(x, y, s), 0, s);
}

BP_INLINE BP_SIGNED BP_NAME(bp_fma)(BP_SIGNED a, BP_SIGNED b, BP_SIGNED c, bp_spec s) {
    BP_NAME(bp_term) x = BP_NAME(bp_term_of)(a, s), y = BP_NAME(bp_term_of)(b, s);
    BP_NAME(bp_term) p = BP_NAME(bp_product)(x, y, s), z = BP_NAME(bp_term_of)(c, s), hi, lo;
    int below = (p.scale < z.scale) | ((p.scale == z.scale) & (p.sig < z.sig));
    below = (p.sig == 0) | (below & (z.sig != 0));
    hi.sig = below ? z.sig : p.sig, lo.sig = below ? p.sig : z.sig;
    hi.scale = below ? z.scale : p.scale, lo.scale = below ? p.scale : z.scale;
    hi.sign = below ? z.sign : p.sign, lo.sign = below ? p.sign : z.sign;
    return BP_NAME(bp_sum)(hi, lo, s);
}

/* The quotient has at least W - q >= n + 2 bits; the remainder is its sticky bit. b is not zero. */
BP_INLINE BP_SIGNED BP_NAME(bp_div)(BP_SIGNED a, BP_SIGNED b, bp_spec s) {
    const int q = (s.n - 3 - s.es > 0 ? s.n - 3 - s.es : 0) + 1;
    BP_NAME(bp_term) x = BP_NAME(bp_term_of)(a, s), y = BP_NAME(bp_term_of)(b, s);
    BP_WORD den = y.sig >> (BP_W - q);
    BP_WORD quot = x.sig / den, rem = x.sig % den; /* sig is the numerator shifted up by W - q */
    BP_SCALE lead = BP_NAME(bp_lead)(quot | 1);
    /* quot = (x/y) * 2^(W-q) with 1/2 < x/y < 2, so its leading bit stands at W-q or W-q-1 */
    BP_NAME(bp_term) t = {quot << lead, x.scale - y.scale + (q - 1) - lead, x.sign ^ y.sign};
    return BP_NAME(bp_pattern)(t, rem, s);
}
