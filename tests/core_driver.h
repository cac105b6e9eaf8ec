/* What the driver's files share: the cases, expectations, and arrays in every kind of memory. */
#ifndef CORE_DRIVER_H
#define CORE_DRIVER_H

#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "bposit.h"

enum {
    APPLY,
    F32,
    F64,
    I64,
    U64,
    STOCHASTIC,
    TO_F32,
    TO_F64,
    CONVERT,
    PARTS,
    QUIRE,
    INTERVAL,
    WINDOW,
    SLICE,
    PRODUCT,
    ADDENDS,
    FORM,
    ROUND,
    END
};

extern FILE *file;
extern long record, checks;

static inline int64_t next(void) {
    int64_t x;
    if (fread(&x, sizeof x, 1, file) != 1) {
        fprintf(stderr, "record %ld is cut short\n", record);
        exit(2);
    }
    return x;
}

static inline void *room(size_t bytes) {
    void *p = malloc(bytes ? bytes : 1);
    if (!p) exit(3);
    return p;
}

static inline void expect(int right, const char *what, size_t i, int64_t got, int64_t want) {
    checks++;
    if (right) return;
    fprintf(stderr, "record %ld, %s, element %zu: got %" PRId64 ", expected %" PRId64 "\n", record,
            what, i, got, want);
    exit(1);
}

/* ---- strided arrays ----------------------------------------------------------------------- */

typedef struct {
    char *block, *first; /* the heap block, and where element 0 lies */
    ptrdiff_t stride;
    size_t count;
    int size; /* bytes of an element */
} array;

static inline int size_of(bp_spec s) { return s.n <= 8 ? 1 : s.n <= 16 ? 2 : s.n <= 32 ? 4 : 8; }

/* Kinds of memory. SCALAR is for inputs whose elements are all the same. */
enum { DENSE, REVERSED, SPACED, SPACED_BACK, MISALIGNED, SCALAR };

static inline array make(int kind, size_t count, int size) {
    static const int step[] = {1, -1, 2, -3, 1, 0};
    array a = {NULL, NULL, step[kind] * size, count, size};
    size_t apart = (size_t)(a.stride < 0 ? -a.stride : a.stride), lead = kind == MISALIGNED;
    size_t last = count ? (count - 1) * apart : 0;
    a.block = room(lead + last + (count ? (size_t)size : 0));
    a.first = a.block + lead + (a.stride < 0 ? last : 0);
    return a;
}

static inline void put(array a, size_t i, int64_t x) {
    char *to = a.first + (ptrdiff_t)i * a.stride;
    int8_t b = (int8_t)x;
    int16_t h = (int16_t)x;
    int32_t w = (int32_t)x;
    memcpy(to,
           a.size == 1   ? (void *)&b
           : a.size == 2 ? (void *)&h
           : a.size == 4 ? (void *)&w
                         : (void *)&x,
           (size_t)a.size);
}

static inline int64_t get(array a, size_t i) {
    const char *from = a.first + (ptrdiff_t)i * a.stride;
    int8_t b;
    int16_t h;
    int32_t w;
    int64_t x;
    switch (a.size) {
    case 1: memcpy(&b, from, 1); return b;
    case 2: memcpy(&h, from, 2); return h;
    case 4: memcpy(&w, from, 4); return w;
    default: memcpy(&x, from, 8); return x;
    }
}

static inline array filled(int kind, size_t count, int size, const int64_t *x) {
    array a = make(kind, count, size);
    for (size_t i = 0; i < (kind == SCALAR && count ? 1 : count); i++) put(a, i, x[i]);
    return a;
}

static inline int constant(size_t count, const int64_t *x) {
    for (size_t i = 1; i < count; i++)
        if (x[i] != x[0]) return 0;
    return count > 0;
}

static inline int64_t *column(size_t count) {
    int64_t *x = room(count * sizeof *x);
    for (size_t i = 0; i < count; i++) x[i] = next();
    return x;
}

static inline bp_spec spec(void) {
    bp_spec s;
    s.n = (int32_t)next(), s.rs = (int32_t)next(), s.es = (int32_t)next();
    return s;
}

static inline void compare(array out, const int64_t *want, const char *what) {
    for (size_t i = 0; i < out.count; i++)
        expect(get(out, i) == want[i], what, i, get(out, i), want[i]);
    free(out.block);
}

/* ---- core_sums.c: records of its kinds. */
void intervals(void);
void windows(void);
void slices(void);
void products(void);
void forms(void);
void addends(void);

#endif
