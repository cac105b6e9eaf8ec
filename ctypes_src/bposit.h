/* The C core of b-posits: bounded posits <n, rs, es>, exactly as docs/format.md defines them.
 *
 * C11 with 128-bit integers (gcc or clang). No allocation, no global state, no Python; every
 * function may be called from any number of threads. Patterns are signed integers, sign-extended
 * in the smallest of int8, int16, int32, int64 that holds n bits; the caller has checked their
 * range and the spec (3 <= n <= 64, 2 <= rs <= n-1, 0 <= es <= 8, rs*2^es <= 4096).
 *
 * Array functions take byte strides of any sign, 0 for a scalar. An output may be one of the
 * inputs with the same stride; any other overlap is the caller's to avoid.
 */
#ifndef BPOSIT_H
#define BPOSIT_H

#include <stddef.h>
#include <stdint.h>

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

/* ---- elementwise.c: out[i] = op(a[i], b[i], c[i]), rounded once. Unused operands are NULL. */
void bp_apply(bp_op op, bp_spec s, size_t count, const void *a, ptrdiff_t sa, const void *b,
              ptrdiff_t sb, const void *c, ptrdiff_t sc, void *out, ptrdiff_t so);

/* ---- sums.c: nearest[i] = sum over k of term[k][i], rounded once; rest[i] = that sum -
 * nearest[i], rounded once, unless rest.at is NULL. At least one term; fewer than 2^31. Each array
 * may be of another format; results may be terms with the same stride. An array is of patterns, or
 * with `values` of doubles: terms are first rounded to their format, which fits a double. Then they
 * are multiplied by `factor`, a value of the format, and rounded again; other factors than 1 ask
 * for a format of at most 25 significand bits and a reach of at most 448. */
typedef struct {
    bp_spec spec;
    int values;
    double factor;
    const void *at;
    ptrdiff_t stride;
} bp_addend;
typedef struct {
    bp_spec spec;
    int values;
    void *at;
    ptrdiff_t stride;
} bp_result;
void bp_sum_of(size_t terms, const bp_addend *term, size_t count, bp_result nearest,
               bp_result rest);

/* ---- cast.c: rounded once. decode_*: odd != 0 asks for round-to-odd where a value does not fit.
 */
void bp_encode_f32(bp_spec s, size_t count, const void *x, ptrdiff_t sx, void *out, ptrdiff_t so);
void bp_encode_f64(bp_spec s, size_t count, const void *x, ptrdiff_t sx, void *out, ptrdiff_t so);
void bp_encode_i64(bp_spec s, size_t count, const void *x, ptrdiff_t sx, void *out, ptrdiff_t so);
void bp_encode_u64(bp_spec s, size_t count, const void *x, ptrdiff_t sx, void *out, ptrdiff_t so);
void bp_encode_stochastic(bp_spec s, size_t count, const void *x, ptrdiff_t sx, void *out,
                          ptrdiff_t so, uint64_t key, uint64_t start);
void bp_decode_f32(bp_spec s, size_t count, const void *bits, ptrdiff_t sb, void *out,
                   ptrdiff_t so);
void bp_decode_f64(bp_spec s, size_t count, const void *bits, ptrdiff_t sb, void *out, ptrdiff_t so,
                   int odd);
/* doubles to the nearest posits, as doubles: of formats that fit those */
void bp_round_f64(bp_spec s, size_t count, const void *x, ptrdiff_t sx, void *out, ptrdiff_t so);
void bp_convert(bp_spec from, bp_spec to, size_t count, const void *bits, ptrdiff_t sb, void *out,
                ptrdiff_t so);

/* ---- parts.c: contiguous patterns to exact magnitudes sig/2^63 * 2^scale (sig = 0: zero or NaR),
 * and back, rounded once. To round a real number put it in 64 bits, rounded to odd. */
void bp_to_parts(bp_spec s, size_t count, const void *bits, uint64_t *sig, int64_t *scale);
void bp_from_parts(bp_spec s, size_t count, const uint64_t *sig, const int64_t *scale, void *out);

/* ---- quire.c: one exact accumulator.
 *
 * value = (two's-complement integer in limb[0 ... limbs-1], least significant first) * 2^lsb.
 * limbs*64 > width, so the sum of two in-range values never wraps; after every call a value that
 * does not fit in `width` bits has become NaR. Layouts are derived in quire/layout.py.
 */
#define BP_MAX_LIMBS 264 /* width <= 4*4096 + 2*61 + 32 bits, and one spare limb */

typedef struct {
    int32_t lsb;   /* log2 of the weight of bit 0 */
    int32_t width; /* bits, with the sign */
    int32_t limbs; /* width/64 + 1 */
    int32_t exact; /* whether every product fits; else low bits are dropped and flagged */
} bp_layout;

/* The layout that holds every product exactly; quire/layout.py derives it in words. */
bp_layout bp_exact_layout(bp_spec s);

enum { BP_NAR = 1, BP_INEXACT = 2 }; /* flags of a quire */

void bp_quire_add(bp_spec s, bp_layout l, uint64_t *limb, int32_t *flags, int64_t p, int negate);
void bp_quire_fma(bp_spec s, bp_layout l, uint64_t *limb, int32_t *flags, int64_t a, int64_t b,
                  int negate);
void bp_quire_merge(bp_layout l, uint64_t *limb, int32_t *flags, const uint64_t *other,
                    int32_t other_flags);
void bp_quire_negate(bp_layout l, uint64_t *limb, int32_t *flags);
int64_t bp_quire_round(bp_spec s, bp_layout l, const uint64_t *limb, int32_t flags);

/* ---- reduce.c: exact reductions. Each adds `count` terms to one quire. */
void bp_quire_sum(bp_spec s, bp_layout l, uint64_t *limb, int32_t *flags, size_t count,
                  const void *a, ptrdiff_t sa);
void bp_quire_dot(bp_spec s, bp_layout l, uint64_t *limb, int32_t *flags, size_t count,
                  const void *a, ptrdiff_t sa, const void *b, ptrdiff_t sb);
/* ---- window.c: many exact sums at once, in planes of 32-bit digits.
 *
 * sum i = (digit[i] + digit[count + i]*2^32 + ... ) * 2^low over `planes` planes, low a multiple of
 * 32. Digits are signed 64-bit words: 2^30 additions, each below 2^32 in a digit, leave them
 * correct; then bp_window_carry is due. Terms lie inside the window: their lowest bit at or above
 * 2^low, their highest below 2^(low + 32*planes). nar[i] != 0 marks a NaR.
 */
typedef struct {
    size_t count;
    int32_t low, planes;
    int64_t *digit;
    uint8_t *nar;
} bp_window;

/* sum[first + i*step] += p[i] * by, a pattern, for i < count. Returns how many are done: all, or
 * those before the first block that leaves the window; need[0] <= bits < need[1] says what it takes
 * to go on. A term counts as one addition, or as four where n > 32 and `by` is no power of two. */
size_t bp_window_add(bp_spec s, bp_window w, size_t first, size_t step, size_t count, const void *p,
                     ptrdiff_t sp, int64_t by, int32_t *need);
/* sum[first + i] += x[i] * 2^exponent; x integers with |x| <= 2^51 */
void bp_window_add_f64(bp_window w, size_t first, size_t count, const double *x, int32_t exponent);
/* sum[first] += sum over k of a[k]*b[k]; counts as four additions */
void bp_window_add_dot(bp_spec s, bp_window w, size_t first, size_t count, const void *a,
                       ptrdiff_t sa, const void *b, ptrdiff_t sb);
/* Digits of all planes but the last to 0 ... 2^32-1; returns the largest magnitude of the last. */
int64_t bp_window_carry(bp_window w);
/* out[i] = sum[first + i] rounded once; NaR where it exceeds the layout. */
void bp_window_round(bp_spec s, bp_layout l, bp_window w, size_t first, size_t count, void *out);

/* All bits of all elements lie in 2^span[0] ... 2^span[1]; 0 if all are zero or NaR. */
int bp_span(bp_spec s, size_t count, const void *p, ptrdiff_t sp, int32_t *span);
/* Counts p's elements by the exponents of their highest and lowest bits: highest[e - from]++ and
 * lowest[e - from]++ for from <= e < to. Zeros and NaR are not counted. */
void bp_extent(bp_spec s, size_t count, const void *p, ptrdiff_t sp, int32_t from, int64_t *highest,
               int64_t *lowest);
/* Cuts p[i] into digits of `bits` bits: part[t*stride + i] holds those of weight
 * 2^(top - (t+1)*bits) and up, with p's sign; t < parts. Elements with bits elsewhere become zeros,
 * and their indices are listed: returns how many. NaR is zero. */
size_t bp_slice(bp_spec s, size_t count, const void *p, ptrdiff_t sp, int32_t top, int bits,
                int parts, double *part, size_t stride, int64_t *elsewhere);

/* ---- certify.c: float64 results with proven error bounds, rounded where the bound decides. */
int bp_certifies(bp_spec s); /* whether the bounds hold for products of such posits */

typedef struct {
    double middle, error; /* the exact value lies in middle +- error; NaN where an operand is NaR */
} bp_interval;
bp_interval bp_dot_enclosed(bp_spec s, size_t count, const void *a, ptrdiff_t sa, const void *b,
                            ptrdiff_t sb);
/* out[i] = round(sum over k of a[i,k]*b[i,k]) for `rows` rows of `count` terms, contiguous, by
 * certificate or quire. Terms lie ka and kb bytes apart, rows ra and rb. */
void bp_dots(bp_spec s, bp_layout l, size_t rows, size_t count, const void *a, ptrdiff_t ra,
             ptrdiff_t ka, const void *b, ptrdiff_t rb, ptrdiff_t kb, void *out);

/* rows x cols contiguous float64 estimates. Element (i,j) is off by at most row[i] * col[j], or
 * where magnitude is not NULL by row[i] * magnitude[i,j]. add: patterns to be added, or NULL. */
typedef struct {
    size_t rows, cols;
    const double *estimate, *row, *col, *magnitude;
    const void *add;
    ptrdiff_t add_row, add_col;
} bp_product;
/* Rounds every element to `out`, contiguous; returns how many the bounds leave undecided, and the
 * row-major indices of the first `room` of them. */
size_t bp_certify(bp_spec s, bp_product p, void *out, int64_t *undecided, size_t room);

/* For each row (by_row) and column (by_col) of a contiguous matrix the largest power of two that
 * divides all its elements; infinity where all are 0. Either may be NULL. */
void bp_grids(size_t rows, size_t cols, const double *x, double *by_row, double *by_col);

typedef struct {
    size_t inner;
    const void *a, *b; /* rows of a, columns of b, in steps of bytes */
    ptrdiff_t a_row, a_inner, b_inner, b_col;
} bp_factors;
/* out at each of `count` indices = (sum of a*b, and add) of the exact quire, rounded once. */
void bp_decide(bp_spec s, bp_product p, bp_factors f, const int64_t *undecided, size_t count,
               void *out);

/* ---- bilinear.c: out[r,k] = sum over the terms t of k of a[r,i]*b[r,j], in floating point.
 *
 * Rows are contiguous, those of a and b `ra` and `rb` elements apart (0: one row for all), those of
 * out `outputs`. Terms start[k] ... start[k+1]-1 belong to output k; term[2t] is i, term[2t+1] is
 * j, or j + right for -a[r,i]*b[r,j]. Each product and each addition is rounded, in the order of
 * the table: the bits do not depend on the machine or on the split of a batch.
 */
#define BP_MAX_BLADES 64 /* coefficients of an operand or of the result */

typedef struct {
    int32_t left, right, outputs; /* coefficients of a, of b, of out: 0 ... BP_MAX_BLADES */
    const int32_t *start;
    const uint8_t *term;
} bp_form;
void bp_bilinear_f32(bp_form f, size_t rows, const float *a, size_t ra, const float *b, size_t rb,
                     float *out);
void bp_bilinear_f64(bp_form f, size_t rows, const double *a, size_t ra, const double *b, size_t rb,
                     double *out);

#endif
