/* The C core of bposit, joined by `python -m bposit.emulate.cmodel.joined`. */

#include <math.h>
#include <stddef.h>
#include <stdint.h>
#include <string.h>

typedef struct {
    int32_t n, rs, es;
} bp_spec;
typedef enum {
    BP_ADD,
    BP_SUB,
    BP_MUL,
    BP_DIV, /* two operands */
    BP_SQRT,
    BP_NEG,
    BP_ABS, /* one */
    BP_FMA  /* three */
} bp_op;
typedef struct {
    int32_t lsb;   /* log2 of the weight of bit 0 */
    int32_t width; /* bits, with the sign */
    int32_t limbs; /* width/64 + 1 */
    int32_t exact; /* whether every product fits; else low bits are dropped and flagged */
} bp_layout;
#define BP_MAX_LIMBS 264
enum { BP_NAR = 1, BP_INEXACT = 2 };

/* The inline codec: patterns <-> (sign, scale, significand) <-> IEEE floats, and arithmetic.
 *
 * Everything takes the spec as an argument; where the caller's is a constant the compiler folds
 * it. word.h and arith.h are texts over a word size, included here once for each size.
 */

#define BP_INLINE static inline __attribute__((always_inline, unused))
#define BP_GLUE_(a, b) a##b
#define BP_GLUE(a, b) BP_GLUE_(a, b)
#define BP_NAME(name) BP_GLUE(name, BP_W)

__extension__ typedef unsigned __int128 bp_u128;
__extension__ typedef __int128 bp_i128;

BP_INLINE uint32_t bp_bits_f32(float x) {
    uint32_t u;
    memcpy(&u, &x, 4);
    return u;
}
BP_INLINE uint64_t bp_bits_f64(double x) {
    uint64_t u;
    memcpy(&u, &x, 8);
    return u;
}
BP_INLINE float bp_f32_bits(uint32_t u) {
    float x;
    memcpy(&x, &u, 4);
    return x;
}
BP_INLINE double bp_f64_bits(uint64_t u) {
    double x;
    memcpy(&x, &u, 8);
    return x;
}

/* Leading zeros of x != 0. In 32-bit lanes through the exponent of a float, which vectorises on
 * every target: x & ~(x >> 1) keeps the leading bit and clears the one after it, so that rounding
 * to 24 bits cannot carry into the next power of two. */
BP_INLINE int32_t bp_lead32(uint32_t x) {
    return 158 - (int32_t)(bp_bits_f32((float)(x & ~(x >> 1))) >> 23);
}
/* The same for fewer than 24 of them, otherwise at least 24: the top 24 bits convert exactly. */
BP_INLINE int32_t bp_lead_short32(uint32_t x) {
    return 150 - (int32_t)(bp_bits_f32((float)(int32_t)(x >> 8)) >> 23);
}
BP_INLINE int64_t bp_lead_short64(uint64_t x) { return __builtin_clzll(x | 1); }
BP_INLINE int64_t bp_lead64(uint64_t x) { return __builtin_clzll(x); }
BP_INLINE int64_t bp_lead128(bp_u128 x) {
    uint64_t hi = (uint64_t)(x >> 64);
    return hi ? __builtin_clzll(hi) : 64 + __builtin_clzll((uint64_t)x | 1);
}

BP_INLINE bp_u128 bp_some128(bp_u128 x) { return x != 0; }

BP_INLINE uint32_t bp_times32(uint32_t a, uint32_t b) { return a * b; }
BP_INLINE uint64_t bp_times64(uint64_t a, uint64_t b) { return a * b; }
BP_INLINE bp_u128 bp_times128(bp_u128 a, bp_u128 b) { return (bp_u128)(uint64_t)a * (uint64_t)b; }

#define BP_W 32
#define BP_WORD uint32_t
#define BP_SCALE int32_t
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
#undef BP_W
#undef BP_WORD
#undef BP_SCALE

#define BP_W 64
#define BP_WORD uint64_t
#define BP_SCALE int64_t
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
#undef BP_W
#undef BP_WORD
#undef BP_SCALE

/* Sign masks: all bits set for a negative pattern. x ^ mask - mask negates where the mask is set.
 */
BP_INLINE uint32_t bp_sign32(int32_t p) { return (uint32_t)(p >> 31); }
BP_INLINE uint64_t bp_sign64(int64_t p) { return (uint64_t)(p >> 63); }
BP_INLINE uint32_t bp_body32(int32_t p) { return ((uint32_t)p ^ bp_sign32(p)) - bp_sign32(p); }
BP_INLINE uint64_t bp_body64(int64_t p) { return ((uint64_t)p ^ bp_sign64(p)) - bp_sign64(p); }
BP_INLINE int64_t bp_nar(bp_spec s) { return (int64_t)(~(uint64_t)0 << (s.n - 1)); }

#define BP_W 32
#define BP_WORD uint32_t
#define BP_SCALE int32_t
#define BP_SIGNED int32_t
#define BP_UNPACK(body, s) bp_unpack32(body, s)
#define BP_BODY(p) bp_body32(p)
#define BP_SIGN(p) bp_sign32(p)
#define BP_PACK(t, sticky, s) bp_pack32((t).scale, (t).sig, sticky, s)
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
#undef BP_W
#undef BP_WORD
#undef BP_SCALE
#undef BP_SIGNED
#undef BP_UNPACK
#undef BP_BODY
#undef BP_SIGN
#undef BP_PACK

#define BP_W 64
#define BP_WORD uint64_t
#define BP_SCALE int64_t
#define BP_SIGNED int64_t
#define BP_UNPACK(body, s) bp_unpack64(body, s)
#define BP_BODY(p) bp_body64(p)
#define BP_SIGN(p) bp_sign64(p)
#define BP_PACK(t, sticky, s) bp_pack64((t).scale, (t).sig, sticky, s)
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
#undef BP_W
#undef BP_WORD
#undef BP_SCALE
#undef BP_SIGNED
#undef BP_UNPACK
#undef BP_BODY
#undef BP_SIGN
#undef BP_PACK

/* 128-bit arithmetic on the 64-bit codec: a pattern's own significand has at most 62 bits. */
typedef struct {
    bp_u128 sig;
    int64_t scale;
} bp_num128;
BP_INLINE bp_num128 bp_unpack128(uint64_t body, bp_spec s) {
    bp_num64 u = bp_unpack64(body, s);
    bp_num128 wide = {(bp_u128)u.sig << 64, u.scale};
    return wide;
}
BP_INLINE uint64_t bp_pack128(int64_t scale, bp_u128 sig, uint64_t sticky, bp_spec s) {
    return bp_pack64(scale, (uint64_t)(sig >> 64), sticky | (uint64_t)sig, s);
}

#define BP_W 128
#define BP_WORD bp_u128
#define BP_SCALE int64_t
#define BP_SIGNED int64_t
#define BP_UNPACK(body, s) bp_unpack128(body, s)
#define BP_BODY(p) bp_body64(p)
#define BP_SIGN(p) (bp_u128)(bp_i128)((p) >> 63)
#define BP_PACK(t, sticky, s) bp_pack128((t).scale, (t).sig, (uint64_t)(sticky), s)
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
#undef BP_W
#undef BP_WORD
#undef BP_SCALE
#undef BP_SIGNED
#undef BP_UNPACK
#undef BP_BODY
#undef BP_SIGN
#undef BP_PACK

/* floor(sqrt(x)) for 2^126 <= x < 2^128. The float64 estimate is within 2^12 of the root (which
 * is at least 2^63), so one Newton step leaves an error below 2^24/2^63 + 1: the loops end. */
BP_INLINE uint64_t bp_isqrt128(bp_u128 x) {
    double estimate = sqrt((double)x);
    bp_u128 root = estimate < 0x1.fffffffffffffp63 ? (uint64_t)estimate : 0xfffffffffffff800u;
    bp_i128 error = (bp_i128)(x - root * root);
    root += (bp_u128)(error / (bp_i128)(2 * root));
    while (root > UINT64_MAX || root * root > x) root--;
    while (root < UINT64_MAX && (root + 1) * (root + 1) <= x) root++;
    return (uint64_t)root;
}

/* floor(sqrt(x)) for 2^62 <= x < 2^64: the float64 root, at most 2^32, is within 1. */
BP_INLINE uint64_t bp_isqrt64(uint64_t x) {
    uint64_t root = (uint64_t)sqrt((double)x);
    root = root > 0xffffffffu ? 0xffffffffu : root;
    root -= root * root > x;
    return root +
           ((root + 1) * (root + 1) - 1 < x); /* in 64 bits: 2^64 - 1 where root + 1 = 2^32 */
}

/* Half of an even scale leaves a radicand in [1, 4). A root of 32 bits is enough for the at most
 * 30 significand bits of n <= 32, and 64 bits for any: the remainder is the sticky bit. */
BP_INLINE int64_t bp_sqrt(int64_t p, bp_spec s) {
    bp_num64 u = bp_unpack64(bp_body64(p), s);
    int64_t half = u.scale >> 1, odd = u.scale & 1, body;
    if (s.n <= 32) {
        uint64_t sig = u.sig | 1ull << 63, x = odd ? sig : sig >> 1;
        uint64_t root = bp_isqrt64(x);
        body = (int64_t)bp_pack64(half, root << 32, root * root ^ x, s);
    } else {
        bp_u128 x = (bp_u128)(u.sig | 1ull << 63) << (63 + odd); /* (value / 4^half) * 2^126 */
        uint64_t root = bp_isqrt128(x);
        body = (int64_t)bp_pack64(half, root, (bp_u128)root * root != x, s);
    }
    body = p == 0 ? 0 : body;
    return p < 0 ? bp_nar(s) : body;
}

/* ---- IEEE floats ------------------------------------------------------------------------- */

BP_INLINE int64_t bp_reach(bp_spec s) { return (int64_t)s.rs << s.es; }
BP_INLINE int bp_f_max(bp_spec s) { return s.n - 3 - s.es > 0 ? s.n - 3 - s.es : 0; }
/* every value is exactly a normal float64 */
BP_INLINE int bp_fits_f64(bp_spec s) { return bp_f_max(s) <= 52 && bp_reach(s) <= 1022; }

/* A float's biased exponent and fraction, read as one integer and rebased, are the fixed-point
 * number scale.fraction; shifting it splits regime, exponent and fraction. Saturation costs least
 * on the float itself: values beyond maxpos and below minpos are replaced by those first, where
 * the float type has them; where its whole range lies inside, nothing saturates. */
BP_INLINE int32_t bp_encode32_f32(float x, bp_spec s) { /* n <= 32 */
    uint32_t bits = bp_bits_f32(x), mag = bits & 0x7fffffffu;
    uint32_t sign = bp_sign32((int32_t)bits);
    int32_t fixed = (int32_t)mag - (127 << 23);
    if (bp_reach(s) > 126) { /* subnormals do not all saturate: normalise m * 2^-149 */
        int32_t tiny = (int32_t)(bp_bits_f32((float)(int32_t)mag) - ((127u + 149u) << 23));
        fixed = mag < 0x00800000u ? tiny : fixed;
    }
    int32_t r = fixed >> (23 + s.es);
    uint32_t ef = (uint32_t)fixed << (9 - s.es), body;
    if (bp_reach(s) >= 149 + (1 << s.es)) /* even 2^-149 has a regime above the lowest */
        body = bp_nearest32(bp_cut_of32(r, ef, s, 0), 0);
    else body = bp_round32(r, ef, 0, s);
    int32_t p = (int32_t)((body ^ sign) - sign);
    p = mag == 0 ? 0 : p;
    return mag >= 0x7f800000u ? (int32_t)bp_nar(s) : p;
}

BP_INLINE double bp_decode64_f64(int64_t p, bp_spec s, int odd);

/* A double's magnitude, as bits, no less than minpos and no more than maxpos. */
BP_INLINE uint64_t bp_saturated(uint64_t mag, bp_spec s) {
    const uint64_t least = bp_bits_f64(bp_decode64_f64(1, s, 0));
    const uint64_t most = bp_bits_f64(bp_decode64_f64(((int64_t)1 << (s.n - 1)) - 1, s, 0));
    uint64_t inside = mag > most ? most : mag;
    return inside < least ? least : inside;
}

BP_INLINE int64_t bp_encode64_f64(double x, bp_spec s) {
    uint64_t bits = bp_bits_f64(x), mag = bits & 0x7fffffffffffffffu, body;
    uint64_t sign = bp_sign64((int64_t)bits);
    if (bp_fits_f64(s)) {
        int64_t fixed = (int64_t)bp_saturated(mag, s) - (1023ll << 52);
        body = bp_nearest64(bp_cut_of64(fixed >> (52 + s.es), (uint64_t)fixed << (12 - s.es), s, 1),
                            0);
    } else {
        int64_t fixed = (int64_t)mag - (1023ll << 52);
        if (mag < 1ull << 52) { /* m * 2^-1074 */
            int64_t top = 63 - bp_lead64(mag | 1);
            fixed = (int64_t)(((uint64_t)(top - 1075) << 52) + (mag << (52 - top)));
        }
        body = bp_round64(fixed >> (52 + s.es), (uint64_t)fixed << (12 - s.es), 0, s);
    }
    int64_t p = (int64_t)((body ^ sign) - sign);
    p = mag == 0 ? 0 : p;
    return mag >= 0x7ffull << 52 ? bp_nar(s) : p;
}

/* A double to the nearest posit, as a double, without its pattern. Where even the longest regime
 * leaves a fraction bit, the last bit of a pattern is a fraction bit of the double: rounding to
 * even there, a carry runs on into the exponent as it runs into the pattern's regime. 1 ... 51 bits
 * go. */
BP_INLINE int bp_rounds_in_f64(bp_spec s) {
    return bp_fits_f64(s) && bp_f_max(s) <= 51 && s.n - 1 - s.rs - s.es >= 1;
}
BP_INLINE double bp_rounded_f64(double x, bp_spec s) {
    uint64_t bits = bp_bits_f64(x), given = bits & 0x7fffffffffffffffu, sign = bits ^ given;
    uint64_t mag = bp_saturated(given, s);
    int64_t r = (int64_t)(mag - (1023ull << 52)) >> (52 + s.es), run = (r ^ (r >> 63)) + 1;
    int64_t size = run + 1 > s.rs ? s.rs : run + 1, drop = 53 + s.es + size - s.n;
    uint64_t kept = mag >> drop, tail = mag << (64 - drop) | (kept & 1); /* a tie goes to even */
    mag = (kept + (tail > 1ull << 63)) << drop;
    mag = given == 0 ? 0 : sign | mag;
    return bp_f64_bits(given >= 0x7ffull << 52 ? 0x7ff8ull << 48 : mag);
}

/* sign * (sig / 2^63) * 2^scale, rounded once: to nearest even, or to odd. sig has bit 63 set. */
BP_INLINE double bp_ieee64(int neg, int64_t scale, uint64_t sig, int odd) {
    uint64_t sign = (uint64_t)neg << 63;
    if (scale > 1023) return bp_f64_bits(sign | ((0x7ffull << 52) - (odd != 0)));
    int64_t cut = scale < -1022 ? 11 - 1022 - scale : 11; /* bits to drop: more when subnormal */
    uint64_t kept = cut < 64 ? sig >> cut : 0;
    uint64_t lost = cut < 64 ? sig << (64 - cut) : cut == 64 ? sig : 1;
    uint64_t half = 1ull << 63;
    if (odd) kept |= lost != 0;
    else kept += lost > half || (lost == half && (kept & 1));
    /* kept carries the hidden bit of a normal number into the exponent field; rounding may too */
    uint64_t base = scale < -1022 ? 0 : (uint64_t)(scale + 1022) << 52;
    return bp_f64_bits(sign | (base + kept));
}

BP_INLINE double bp_decode64_f64(int64_t p, bp_spec s, int odd) {
    uint64_t sign = (uint64_t)p & 1ull << 63;
    double x;
    if (bp_fits_f64(
            s)) { /* exponent and fraction bits, read as a float's, plus the regime's share */
        bp_split64 u = bp_split_of64(bp_body64(p), s);
        uint64_t mag = (u.ef >> (12 - s.es)) + ((((uint64_t)u.r << s.es) + 1023) << 52);
        x = bp_f64_bits(u.some ? sign | mag : 0);
    } else {
        bp_num64 u = bp_unpack64(bp_body64(p), s);
        x = u.sig ? bp_ieee64(p < 0, u.scale, u.sig, odd) : 0.0;
    }
    return p == bp_nar(s) ? bp_f64_bits(0x7ff8ull << 48) : x;
}

/* The same for n <= 32 in 32-bit lanes: the upper half of the double holds its sign, exponent and
 * 20 fraction bits, the lower half what is left of the at most 29. */
BP_INLINE int bp_halves_f64(bp_spec s) { return s.n <= 32 && bp_fits_f64(s); }
BP_INLINE double bp_decode32_f64(int32_t p, bp_spec s) {
    bp_split32 u = bp_split_of32(bp_body32(p), s);
    uint32_t share = ((uint32_t)u.r << s.es << 20) + (1023u << 20);
    uint32_t sign = (uint32_t)p & 0x80000000u, some = -bp_some32(u.some);
    uint32_t high = (sign | ((u.ef >> (12 - s.es)) + share)) & some;
    uint32_t low = bp_f_max(s) > 20 ? u.ef << (20 + s.es) & some : 0;
    high = p == (int32_t)bp_nar(s) ? 0x7ff80000u : high;
    return bp_f64_bits((uint64_t)high << 32 | low);
}

BP_INLINE int32_t bp_encode32_f64(double x, bp_spec s) {
    uint64_t bits = bp_bits_f64(x), inside = bp_saturated(bits & 0x7fffffffffffffffu, s);
    uint32_t high = (uint32_t)(bits >> 32), low = (uint32_t)inside, sign = bp_sign32((int32_t)high);
    int32_t fixed = (int32_t)(uint32_t)(inside >> 32) - (1023 << 20);
    uint32_t ef = (uint32_t)fixed << (12 - s.es) | low >> (20 + s.es);
    bp_cut32 t = bp_cut_of32(fixed >> (20 + s.es), ef, s, 1);
    uint32_t some = -bp_some32(high << 1 | (uint32_t)bits);
    int32_t p = (int32_t)(((bp_nearest32(t, low << (12 - s.es)) & some) ^ sign) - sign);
    return (high & 0x7fffffffu) >= 0x7ff00000u ? (int32_t)bp_nar(s) : p;
}

/* Where float32's range is too short, two factors share the regime: each is a normal float
 * (reach <= 252, so half the regime's scale lies within 2^±126), and their one multiplication
 * rounds, overflows and underflows as IEEE asks. es = 0 cannot come here: reach = rs < 64. */
BP_INLINE int bp_direct_f32(bp_spec s) {
    return s.n <= 32 && bp_f_max(s) <= 23 && bp_reach(s) <= 252;
}
BP_INLINE float bp_decode32_f32(int32_t p, bp_spec s) {
    const int two = bp_reach(s) > 126;
    bp_split32 u = bp_split_of32(bp_body32(p), s);
    uint32_t share = (uint32_t)u.r << (two ? 22 + s.es : 23 + s.es);
    uint32_t regime = share + (127u << 23);
    uint32_t mag = (u.ef >> (9 - s.es)) + regime;
    float x = bp_f32_bits(((uint32_t)p & 0x80000000u) | mag);
    if (two) x *= bp_f32_bits(regime);
    x = u.some ? x : 0.0f;
    return p == (int32_t)bp_nar(s) ? bp_f32_bits(0x7fc00000u) : x;
}

/* +, -, *, / and sqrt through one float64 operation are correctly rounded: with p = f_max+1 <= 25
 * significand bits, products are exact (2p <= 53); a sum needs more than 53 bits only when its
 * smaller term is too small to move it across a boundary; and |a/b - m| >= 2^-(2p+1) |m| and
 * |sqrt(a) - m| >= 2^-(2p+2) |m| for every boundary m (p+1 bits), unless they are equal, so that
 * float64's 2^-53 cannot land on one. First failures beyond: + at <34,6,5>, sqrt at <33,6,5>
 * 0x7fffffff. Range: quotients and products stay within 2^(2*448), far from float64's ends. */
BP_INLINE int bp_via_f64(bp_spec s) { return bp_f_max(s) <= 24 && bp_reach(s) <= 448; }

BP_INLINE int64_t bp_on_words(const int op, bp_spec s, int64_t a, int64_t b, int64_t c) {
    const int64_t nar = bp_nar(s);
    const int wide = s.n > 32;
    if (op == BP_SQRT) return bp_sqrt(a, s);
    if (a == nar || b == nar || (op == BP_FMA && c == nar)) return nar;
    switch (op) {
    case BP_ADD:
    case BP_SUB: b = op == BP_SUB ? -b : b; return wide ? bp_add128(a, b, s) : bp_add64(a, b, s);
    case BP_MUL: return wide ? bp_mul128(a, b, s) : bp_mul64(a, b, s);
    case BP_FMA: return wide ? bp_fma128(a, b, c, s) : bp_fma64(a, b, c, s);
    default: return b == 0 ? nar : wide ? bp_div128(a, b, s) : bp_div64(a, b, s);
    }
}

BP_INLINE int64_t bp_negated(int64_t p, bp_spec s) { return p == bp_nar(s) ? p : -p; }

/* The exact accumulator's integer: two's complement in 64-bit limbs, least significant first. */

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

/* One exact accumulator: add, multiply-add, merge, negate, round. */

BP_INLINE bp_layout bp_exact_layout(bp_spec s) {
    int64_t f_min = s.n - 1 - s.rs - s.es, reach = bp_reach(s), lsb = -2 * (reach + f_min);
    int64_t top = 2 * reach;
    if (f_min < 0) top = 2 * (reach - ((int64_t)1 << -f_min)), lsb = -top;
    int32_t width = (int32_t)(32 + top - lsb);
    bp_layout l = {(int32_t)lsb, width, width / 64 + 1, 1};
    return l;
}

/* Closes every operation: NaR absorbs, and a value beyond the layout's width has become NaR. */
BP_INLINE void bp_settle(bp_layout l, uint64_t *limb, int32_t *flags, int flag) {
    *flags |= flag;
    if (!bp_limbs_fit(limb, l)) *flags |= BP_NAR;
    if (*flags & BP_NAR) memset(limb, 0, (size_t)l.limbs * 8);
}

BP_INLINE void bp_quire_add(bp_spec s, bp_layout l, uint64_t *limb, int32_t *flags, int64_t p, int negate) {
    bp_exact x = bp_exact_of(p, s);
    int lost = bp_limbs_add_cut(limb, l.limbs, x.scale - l.lsb, x.integer, (p < 0) ^ (negate != 0));
    bp_settle(l, limb, flags, (p == bp_nar(s) ? BP_NAR : 0) | (lost ? BP_INEXACT : 0));
}

BP_INLINE void bp_quire_fma(bp_spec s, bp_layout l, uint64_t *limb, int32_t *flags, int64_t a, int64_t b,
                  int negate) {
    bp_exact x = bp_exact_of(a, s), y = bp_exact_of(b, s);
    int nar = a == bp_nar(s) || b == bp_nar(s);
    int lost = bp_limbs_add_cut(limb, l.limbs, x.scale + y.scale - l.lsb,
                                (bp_u128)x.integer * y.integer, (a < 0) ^ (b < 0) ^ (negate != 0));
    bp_settle(l, limb, flags, (nar ? BP_NAR : 0) | (lost ? BP_INEXACT : 0));
}

BP_INLINE void bp_quire_merge(bp_layout l, uint64_t *limb, int32_t *flags, const uint64_t *other,
                    int32_t other_flags) {
    uint64_t carry = 0;
    for (int i = 0; i < l.limbs; i++) {
        bp_u128 d = (bp_u128)limb[i] + other[i] + carry;
        limb[i] = (uint64_t)d;
        carry = (uint64_t)(d >> 64);
    }
    bp_settle(l, limb, flags, other_flags);
}

BP_INLINE void bp_quire_negate(bp_layout l, uint64_t *limb, int32_t *flags) {
    uint64_t carry = 1;
    for (int i = 0; i < l.limbs; i++) {
        limb[i] = ~limb[i] + carry;
        carry = carry && limb[i] == 0;
    }
    bp_settle(l, limb, flags, 0); /* -2^(width-1) has no opposite in `width` bits */
}

BP_INLINE int64_t bp_quire_round(bp_spec s, bp_layout l, const uint64_t *limb, int32_t flags) {
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
