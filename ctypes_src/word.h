/* The codec in one word size. codec.h includes this text once for each BP_W in {32, 64}.
 *
 * A finite non-zero magnitude is (sig / 2^(W-1)) * 2^scale with bit W-1 of sig set. Nothing here
 * branches on data, so with a constant spec every function vectorises.
 *
 * Bit budget: n <= W, 2 <= rs <= n-1, es <= 8. All shift counts lie in 0 ... W-1.
 */

typedef struct {
    BP_WORD sig;    /* bit W-1 set, or 0 for zero and NaR */
    BP_SCALE scale; /* in [-rs*2^es, rs*2^es - 1] */
} BP_NAME(bp_num);

/* 1 where x has a bit set, else 0: a minimum vectorises where a comparison does not. */
BP_INLINE BP_WORD BP_NAME(bp_some)(BP_WORD x) { return x < 1 ? x : 1; }

/* Length of the run of zeros at the top of t (whose bit W-1 is 0), at most rs. */
BP_INLINE BP_SCALE BP_NAME(bp_run)(BP_WORD t, int rs) {
    if (__builtin_constant_p(rs) &&
        rs <= 8) { /* a bounded regime: rs - 1 comparisons instead of a leading-zero count */
        BP_SCALE m = 1;
        for (int j = 1; j < rs; j++) m += t < (BP_WORD)1 << (BP_W - 1 - j);
        return m;
    }
    BP_SCALE m = BP_NAME(bp_lead)(t | 1);
    return m < rs ? m : rs;
}

/* body: the low n-1 bits of |pattern|; 0 stands for zero and NaR. */
BP_INLINE BP_NAME(bp_num) BP_NAME(bp_unpack)(BP_WORD body, bp_spec s) {
    BP_WORD y = body << (BP_W - s.n + 1); /* the sign bit of NaR leaves at the top */
    BP_WORD ones = 0 - (y >> (BP_W - 1)); /* all bits set where the regime is a run of ones */
    BP_SCALE m = BP_NAME(bp_run)(y ^ ones, s.rs);
    BP_SCALE size = m < s.rs ? m + 1 : s.rs;
    BP_SCALE r = -m ^ (BP_SCALE)ones; /* ones: m-1, zeros: -m */
    BP_WORD z = y << size;
    BP_WORD e = (z >> 1) >> (BP_W - 1 - s.es);
    BP_WORD sig = (z << s.es) >> 1 | (BP_WORD)1 << (BP_W - 1);
    BP_NAME(bp_num) u = {y ? sig : 0, (BP_SCALE)((BP_WORD)r << s.es) + (BP_SCALE)e};
    return u;
}

typedef struct {
    BP_WORD bits; /* regime, exponent and fraction, left-aligned; r already clamped */
    BP_WORD lost; /* the bits that fell off the end */
    BP_SCALE out; /* r beyond the regimes: 1 above, -1 below, else 0 */
} BP_NAME(bp_string);

/* Regime value r, and exponent and fraction bits left-aligned in ef, as one bit string. */
BP_INLINE BP_NAME(bp_string) BP_NAME(bp_compose)(BP_SCALE r, BP_WORD ef, bp_spec s) {
    BP_SCALE flip = r < 0 ? -1 : 0;
    BP_SCALE m = (r ^ flip) + 1; /* run length, >= 1 */
    BP_SCALE run = m < s.rs ? m : s.rs;
    BP_SCALE size = m < s.rs ? m + 1 : s.rs;
    /* Shifting masks that depend on data, because gcc does not vectorise a shift of a constant. */
    BP_WORD zeros = (BP_WORD)flip, ones = ~zeros;
    BP_WORD regime = (ones ^ ones >> run) | (zeros >> run ^ zeros >> size);
    BP_NAME(bp_string)
    x = {
        regime | ef >> size,
        ef << (BP_W - size),
        m > s.rs ? (r < 0 ? -1 : 1) : 0,
    };
    return x;
}

/* Round to nearest, ties to even, saturating: a body in 1 ... 2^(n-1)-1. */
BP_INLINE BP_WORD BP_NAME(bp_round)(BP_SCALE r, BP_WORD ef, BP_WORD sticky, bp_spec s) {
    const int cut = BP_W - (s.n - 1); /* bits below the body, >= 1 */
    const BP_WORD max = ((BP_WORD)1 << (s.n - 1)) - 1;
    BP_NAME(bp_string) x = BP_NAME(bp_compose)(r, ef, s);
    BP_WORD body = x.bits >> cut;
    BP_WORD guard = x.bits >> (cut - 1) & 1;
    BP_WORD rest = x.bits << (s.n - 1) << 1 | x.lost | sticky;
    body += guard & (BP_NAME(bp_some)(rest) | body);
    body = body > max ? max : body;
    body = body < 1 ? 1 : body;
    body = x.out > 0 ? max : body;
    return x.out < 0 ? 1 : body;
}

/* sig: bit W-1 set; sticky: non-zero where the value is a little above sig. */
BP_INLINE BP_WORD BP_NAME(bp_pack)(BP_SCALE scale, BP_WORD sig, BP_WORD sticky, bp_spec s) {
    BP_SCALE r = scale >> s.es;
    BP_WORD e = (BP_WORD)scale & (((BP_WORD)1 << s.es) - 1);
    BP_WORD f = sig << 1;
    BP_WORD ef = e << (BP_W - 1 - s.es) << 1 | f >> s.es;
    return BP_NAME(bp_round)(r, ef, sticky | (f & (((BP_WORD)1 << s.es) - 1)), s);
}
