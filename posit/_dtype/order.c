/* Comparisons, extrema and predicates: patterns order as integers, with NaR below everything. */
#include "dtype.h"

enum { LT, LE, GT, GE, EQ, NE };

BP_INLINE void compare(const int op, const int size, size_t n, const void *a, const void *b,
                       npy_bool *out) {
    for (size_t i = 0; i < n; i++) {
        int64_t x = bp_load(a, i, size), y = bp_load(b, i, size);
        out[i] = op == LT   ? x < y
                 : op == LE ? x <= y
                 : op == GT ? x > y
                 : op == GE ? x >= y
                 : op == EQ ? x == y
                            : x != y;
    }
}
BP_INLINE void compare_all(const int op, const int size, size_t count, char *const *data,
                           const npy_intp *strides) {
    bp_buffer ra, rb, ro;
    if (bp_direct(data[0], strides[0], size) && bp_direct(data[1], strides[1], size) &&
        strides[2] == 1) {
        compare(op, size, count, data[0], data[1], (npy_bool *)data[2]);
        return;
    }
    for (size_t i = 0; i < count; i += BP_BLOCK) {
        size_t n = bp_step(count, i);
        void *to = bp_target(data[2], strides[2], i, 1, &ro);
        compare(op, size, n, bp_gather(data[0], strides[0], i, n, size, &ra),
                bp_gather(data[1], strides[1], i, n, size, &rb), to);
        bp_scatter(data[2], strides[2], i, n, 1, to);
    }
}
#define COMPARISON(name, op)                                              \
    BP_CLONES LOOP(name) {                                                \
        (void)aux;                                                        \
        bp_spec s = bp_spec_of(c->descriptors[0]);                        \
        BY_SIZE(s, compare_all(op, SIZE, (size_t)dims[0], data, strides)) \
        return 0;                                                         \
    }
COMPARISON(bp_loop_less, LT)
COMPARISON(bp_loop_less_equal, LE)
COMPARISON(bp_loop_greater, GT)
COMPARISON(bp_loop_greater_equal, GE)
COMPARISON(bp_loop_equal, EQ)
COMPARISON(bp_loop_not_equal, NE)

/* maximum and minimum propagate NaR, fmax and fmin skip it (Posit Standard 2022, 5.5). */
enum { MAXIMUM, MINIMUM, FMAX, FMIN };

BP_INLINE int64_t pick(const int op, int64_t x, int64_t y, int64_t nar) {
    int64_t larger = x > y ? x : y, smaller = x > y ? y : x;
    if (op == MAXIMUM) return smaller == nar ? nar : larger;
    if (op == FMIN) return smaller == nar ? larger : smaller;
    return op == MINIMUM ? smaller : larger;
}
BP_INLINE void pick_block(const int op, const int size, int64_t nar, size_t n, const void *a,
                          const void *b, void *out) {
    BP_INDEPENDENT
    for (size_t i = 0; i < n; i++)
        bp_store(out, i, size, pick(op, bp_load(a, i, size), bp_load(b, i, size), nar));
}
/* A reduction: both extremes of the operand, NaR apart, decide every case. */
BP_INLINE void pick_reduce(const int op, const int size, bp_spec s, size_t count, char *const *data,
                           npy_intp stride) {
    int64_t nar = bp_nar(s), best = bp_load(data[0], 0, size);
    bp_buffer room;
    for (size_t i = 0; i < count; i += BP_BLOCK) {
        size_t n = bp_step(count, i);
        const void *x = bp_gather(data[1], stride, i, n, size, &room);
        int64_t high = INT64_MIN, low = INT64_MAX, low_real = INT64_MAX;
        for (size_t k = 0; k < n; k++) {
            int64_t v = bp_load(x, k, size), real = v == nar ? INT64_MAX : v;
            high = v > high ? v : high;
            low = v < low ? v : low;
            low_real = real < low_real ? real : low_real;
        }
        if (op == MAXIMUM) best = best == nar || low == nar ? nar : best > high ? best : high;
        else if (op == FMIN) best = low_real == INT64_MAX ? best : pick(FMIN, best, low_real, nar);
        else best = pick(op, best, op == FMAX ? high : low, nar);
    }
    bp_store(data[2], 0, size, best);
}
BP_INLINE void pick_all(const int op, const int size, bp_spec s, size_t count, char *const *data,
                        const npy_intp *strides) {
    bp_buffer ra, rb, ro;
    int64_t nar = bp_nar(s);
    if (data[0] == data[2] && strides[0] == 0 && strides[2] == 0) {
        if (count) pick_reduce(op, size, s, count, data, strides[1]);
        return;
    }
    /* a running extremum reads what it has just written: one element at a time */
    size_t step = data[2] == data[0] + strides[2] && strides[0] == strides[2] ? 1 : BP_BLOCK;
    for (size_t i = 0; i < count; i += step) {
        size_t n = count - i < step ? count - i : step;
        void *to = bp_target(data[2], strides[2], i, size, &ro);
        pick_block(op, size, nar, n, bp_gather(data[0], strides[0], i, n, size, &ra),
                   bp_gather(data[1], strides[1], i, n, size, &rb), to);
        bp_scatter(data[2], strides[2], i, n, size, to);
    }
}
#define PICK(name, op)                                                    \
    BP_CLONES LOOP(name) {                                                \
        (void)aux;                                                        \
        bp_spec s = bp_spec_of(c->descriptors[0]);                        \
        BY_SIZE(s, pick_all(op, SIZE, s, (size_t)dims[0], data, strides)) \
        return 0;                                                         \
    }
PICK(bp_loop_maximum, MAXIMUM)
PICK(bp_loop_minimum, MINIMUM)
PICK(bp_loop_fmax, FMAX)
PICK(bp_loop_fmin, FMIN)

BP_INLINE void clip_all(const int size, bp_spec s, size_t count, char *const *data,
                        const npy_intp *strides) {
    const int64_t nar = bp_nar(s);
    bp_buffer ra, rl, rh, ro;
    for (size_t i = 0; i < count; i += BP_BLOCK) {
        size_t n = bp_step(count, i);
        const void *low = bp_gather(data[1], strides[1], i, n, size, &rl),
                   *high = bp_gather(data[2], strides[2], i, n, size, &rh);
        void *to = bp_target(data[3], strides[3], i, size, &ro);
        pick_block(MAXIMUM, size, nar, n, bp_gather(data[0], strides[0], i, n, size, &ra), low,
                   &rl);
        pick_block(MINIMUM, size, nar, n, &rl, high, to);
        bp_scatter(data[3], strides[3], i, n, size, to);
    }
}
BP_CLONES LOOP(bp_loop_clip) {
    (void)aux;
    bp_spec s = bp_spec_of(c->descriptors[0]);
    BY_SIZE(s, clip_all(SIZE, s, (size_t)dims[0], data, strides))
    return 0;
}

enum { IS_NAR, IS_REAL, IS_INFINITE, IS_NEGATIVE, IS_ZERO, IS_NONZERO };
BP_INLINE void test_all(const int op, const int size, bp_spec s, size_t count, char *const *data,
                        const npy_intp *strides) {
    const int64_t nar = bp_nar(s);
    bp_buffer ra, ro;
    for (size_t i = 0; i < count; i += BP_BLOCK) {
        size_t n = bp_step(count, i);
        npy_bool *to = bp_target(data[1], strides[1], i, 1, &ro);
        const void *x = bp_gather(data[0], strides[0], i, n, size, &ra);
        for (size_t k = 0; k < n; k++) {
            int64_t p = bp_load(x, k, size);
            to[k] = op == IS_NAR        ? p == nar
                    : op == IS_REAL     ? p != nar
                    : op == IS_NEGATIVE ? p < 0
                    : op == IS_NONZERO  ? p != 0
                                        : op == IS_ZERO && p == 0;
        }
        bp_scatter(data[1], strides[1], i, n, 1, to);
    }
}
#define PREDICATE(name, op)                                               \
    BP_CLONES LOOP(name) {                                                \
        (void)aux;                                                        \
        bp_spec s = bp_spec_of(c->descriptors[0]);                        \
        BY_SIZE(s, test_all(op, SIZE, s, (size_t)dims[0], data, strides)) \
        return 0;                                                         \
    }
PREDICATE(bp_loop_isnan, IS_NAR)
PREDICATE(bp_loop_isfinite, IS_REAL)
PREDICATE(bp_loop_isinf, IS_INFINITE)
PREDICATE(bp_loop_signbit, IS_NEGATIVE)
PREDICATE(bp_loop_logical_not, IS_ZERO)
PREDICATE(bp_loop_nonzero, IS_NONZERO)
