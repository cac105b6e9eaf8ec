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
/* out[i] = round(sum over k of a[i,k]*b[i,k]) for `rows` rows of `count` terms, contiguous: one
 * quire a row, with no state to keep. Terms lie ka and kb bytes apart, rows ra and rb. */
void bp_dots(bp_spec s, bp_layout l, size_t rows, size_t count, const void *a, ptrdiff_t ra,
             ptrdiff_t ka, const void *b, ptrdiff_t rb, ptrdiff_t kb, void *out);
/* many[rows*cols quires of l.limbs limbs, row-major] += A * B for rows of A (inner apart by
 * stride ka, rows by ra) and columns of B (kb, cb); flags has rows*cols entries. */
void bp_quires_matmul(bp_spec s, bp_layout l, uint64_t *limb, int32_t *flags, size_t rows,
                      size_t inner, size_t cols, const void *a, ptrdiff_t ra, ptrdiff_t ka,
                      const void *b, ptrdiff_t kb, ptrdiff_t cb);
/* out[i] = round(quire i), i < count */
void bp_quires_round(bp_spec s, bp_layout l, const uint64_t *limb, const int32_t *flags,
                     size_t count, void *out);
void bp_quires_add(bp_spec s, bp_layout l, uint64_t *limb, int32_t *flags, size_t count,
                   const void *p, ptrdiff_t sp);
void bp_quires_merge(bp_layout l, uint64_t *limb, int32_t *flags, size_t count,
                     const uint64_t *other, const int32_t *other_flags);

#endif
