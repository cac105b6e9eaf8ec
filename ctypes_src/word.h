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
    if (BP_W == 64 && __builtin_constant_p(rs) && rs <= 8) {
        BP_SCALE m = 1; /* a bounded regime: comparisons instead of a leading-zero count */
        for (int j = 1; j < rs; j++) m += t < (BP_WORD)1 << (BP_W - 1 - j);
        return m;
    }
    BP_SCALE m = rs <= 23 ? BP_NAME(bp_lead_short)(t) : BP_NAME(bp_lead)(t | 1);
    return m < rs ? m : rs;
}

/* A body taken apart: regime value, and exponent and fraction bits left-aligned. */
typedef struct {
    BP_WORD some; /* 0 for zero and NaR, whose other fields mean nothing */
    BP_WORD ef;
    BP_SCALE r;
} BP_NAME(bp_split);

/* body: the low n-1 bits of |pattern|; 0 stands for zero and NaR. */
BP_INLINE BP_NAME(bp_split) BP_NAME(bp_split_of)(BP_WORD body, bp_spec s) {
    BP_WORD y = body << (BP_W - s.n + 1);                /* NaR's sign bit leaves at the top */
    BP_WORD ones = (BP_WORD)((BP_SCALE)y >> (BP_W - 1)); /* a mask: the regime is of ones */
    BP_SCALE m = BP_NAME(bp_run)(y ^ ones, s.rs);
    BP_SCALE size = m + 1 < s.rs ? m + 1 : s.rs;
    BP_NAME(bp_split) u = {y, y << size, -m ^ (BP_SCALE)ones}; /* ones: r = m-1, zeros: r = -m */
    return u;
}

BP_INLINE BP_NAME(bp_num) BP_NAME(bp_unpack)(BP_WORD body, bp_spec s) {
    BP_NAME(bp_split) u = BP_NAME(bp_split_of)(body, s);
    BP_WORD e = (u.ef >> 1) >> (BP_W - 1 - s.es);
    BP_WORD sig = (u.ef << s.es) >> 1 | (BP_WORD)1 << (BP_W - 1);
    BP_NAME(bp_num) x = {u.some ? sig : 0, (BP_SCALE)((BP_WORD)u.r << s.es) + (BP_SCALE)e};
    return x;
}

typedef struct {
    BP_WORD body; /* the first n-1 bits of the string */
    BP_WORD lost; /* the rest of ef, left-aligned */
} BP_NAME(bp_cut);

/* The infinite bit string of regime value r (-rs <= r < rs) and exponent and fraction bits ef,
 * cut after n-1 bits; edge = 0 promises that the run is shorter than rs. The masks depend on data
 * because gcc does not vectorise the shift of a constant by a 64-bit lane. */
BP_INLINE BP_NAME(bp_cut) BP_NAME(bp_cut_of)(BP_SCALE r, BP_WORD ef, bp_spec s, const int edge) {
    BP_WORD zeros = (BP_WORD)(r >> (BP_W - 1)), ones = ~zeros;
    BP_SCALE run = (r ^ (BP_SCALE)zeros) + 1; /* 1 ... rs */
    BP_SCALE size = edge && run + 1 > s.rs ? s.rs : run + 1;
    BP_SCALE kept = s.n - 1 - size; /* bits of ef that fit, 0 ... n-3 */
    BP_WORD regime = (ones ^ ones >> run) | (zeros >> run ^ zeros >> size);
    BP_WORD top = s.n - 1 > s.rs ? ef >> (BP_W - kept) : ef >> 1 >> (BP_W - 1 - kept);
    BP_NAME(bp_cut) x = {(regime >> (BP_W - s.n + 1)) + top, ef << kept};
    return x;
}

/* Round to nearest, ties to even: the low bit decides a tie by tipping it over the half. */
BP_INLINE BP_WORD BP_NAME(bp_nearest)(BP_NAME(bp_cut) x, BP_WORD sticky) {
    BP_WORD tail = x.lost | BP_NAME(bp_some)(sticky) | (x.body & 1);
    return x.body + (tail > (BP_WORD)1 << (BP_W - 1));
}

/* The same for any r, saturating: a body in 1 ... 2^(n-1)-1. */
BP_INLINE BP_WORD BP_NAME(bp_round)(BP_SCALE r, BP_WORD ef, BP_WORD sticky, bp_spec s) {
    const BP_WORD max = ((BP_WORD)1 << (s.n - 1)) - 1;
    BP_SCALE inside = r < -s.rs ? -s.rs : r;
    inside = inside >= s.rs ? s.rs - 1 : inside;
    BP_WORD body = BP_NAME(bp_nearest)(BP_NAME(bp_cut_of)(inside, ef, s, 1), sticky);
    body = body > max ? max : body;
    body = body < 1 ? 1 : body;
    body = r > inside ? max : body;
    return r < inside ? 1 : body;
}

/* sig: bit W-1 set; sticky: non-zero where the value is a little above sig. */
BP_INLINE BP_WORD BP_NAME(bp_pack)(BP_SCALE scale, BP_WORD sig, BP_WORD sticky, bp_spec s) {
    BP_SCALE r = scale >> s.es;
    BP_WORD e = (BP_WORD)scale & (((BP_WORD)1 << s.es) - 1);
    BP_WORD f = sig << 1;
    BP_WORD ef = e << (BP_W - 1 - s.es) << 1 | f >> s.es;
    return BP_NAME(bp_round)(r, ef, sticky | (f & (((BP_WORD)1 << s.es) - 1)), s);
}
