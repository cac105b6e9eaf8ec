/* Runs every exported function of the C core on cases from a file and compares the results.
 *
 * tests/test_sanitizers.py compiles this with the core under AddressSanitizer and UBSan, writes
 * the cases (all numbers as 64-bit integers, floats as their bits) and runs it once. Every array
 * lies in a heap block of its exact size, so that one byte read or written outside is an error.
 */
#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "bposit.h"

enum { APPLY, F32, F64, I64, U64, STOCHASTIC, TO_F32, TO_F64, CONVERT, PARTS, QUIRE, END };

static FILE *file;
static long record, checks;

static int64_t next(void) {
    int64_t x;
    if (fread(&x, sizeof x, 1, file) != 1) {
        fprintf(stderr, "record %ld is cut short\n", record);
        exit(2);
    }
    return x;
}

static void *room(size_t bytes) {
    void *p = malloc(bytes ? bytes : 1);
    if (!p) exit(3);
    return p;
}

static void expect(int right, const char *what, size_t i, int64_t got, int64_t want) {
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

static int size_of(bp_spec s) { return s.n <= 8 ? 1 : s.n <= 16 ? 2 : s.n <= 32 ? 4 : 8; }

/* Kinds of memory. SCALAR is for inputs whose elements are all the same. */
enum { DENSE, REVERSED, SPACED, SPACED_BACK, MISALIGNED, SCALAR };

static array make(int kind, size_t count, int size) {
    static const int step[] = {1, -1, 2, -3, 1, 0};
    array a = {NULL, NULL, step[kind] * size, count, size};
    size_t apart = (size_t)(a.stride < 0 ? -a.stride : a.stride), lead = kind == MISALIGNED;
    size_t last = count ? (count - 1) * apart : 0;
    a.block = room(lead + last + (count ? (size_t)size : 0));
    a.first = a.block + lead + (a.stride < 0 ? last : 0);
    return a;
}

static void put(array a, size_t i, int64_t x) {
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

static int64_t get(array a, size_t i) {
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

static array filled(int kind, size_t count, int size, const int64_t *x) {
    array a = make(kind, count, size);
    for (size_t i = 0; i < (kind == SCALAR && count ? 1 : count); i++) put(a, i, x[i]);
    return a;
}

static int constant(size_t count, const int64_t *x) {
    for (size_t i = 1; i < count; i++)
        if (x[i] != x[0]) return 0;
    return count > 0;
}

static int64_t *column(size_t count) {
    int64_t *x = room(count * sizeof *x);
    for (size_t i = 0; i < count; i++) x[i] = next();
    return x;
}

static bp_spec spec(void) {
    bp_spec s;
    s.n = (int32_t)next(), s.rs = (int32_t)next(), s.es = (int32_t)next();
    return s;
}

static void compare(array out, const int64_t *want, const char *what) {
    for (size_t i = 0; i < out.count; i++)
        expect(get(out, i) == want[i], what, i, get(out, i), want[i]);
    free(out.block);
}

/* ---- element-wise functions: one case runs in every kind of memory ------------------------- */

typedef struct {
    int function, op, odd;
    bp_spec s, to;
    uint64_t key, start;
} task;

static void call(task t, size_t n, array *in, array out) {
    const array a = in[0], b = in[1], c = in[2];
    switch (t.function) {
    case APPLY:
        bp_apply((bp_op)t.op, t.s, n, a.first, a.stride, b.first, b.stride, c.first, c.stride,
                 out.first, out.stride);
        break;
    case F32: bp_encode_f32(t.s, n, a.first, a.stride, out.first, out.stride); break;
    case F64: bp_encode_f64(t.s, n, a.first, a.stride, out.first, out.stride); break;
    case I64: bp_encode_i64(t.s, n, a.first, a.stride, out.first, out.stride); break;
    case U64: bp_encode_u64(t.s, n, a.first, a.stride, out.first, out.stride); break;
    case STOCHASTIC:
        bp_encode_stochastic(t.s, n, a.first, a.stride, out.first, out.stride, t.key, t.start);
        break;
    case TO_F32: bp_decode_f32(t.s, n, a.first, a.stride, out.first, out.stride); break;
    case TO_F64: bp_decode_f64(t.s, n, a.first, a.stride, out.first, out.stride, t.odd); break;
    default: bp_convert(t.s, t.to, n, a.first, a.stride, out.first, out.stride);
    }
}

static void elementwise(int function) {
    task t = {function, 0, 0, spec(), {0, 0, 0}, 0, 0};
    int arity = 1, given = size_of(t.s), made = given;
    switch (function) {
    case APPLY: t.op = (int)next(), arity = (int)next(); break;
    case F32: given = 4; break;
    case F64:
    case I64:
    case U64: given = 8; break;
    case STOCHASTIC: given = 8, t.key = (uint64_t)next(), t.start = (uint64_t)next(); break;
    case TO_F32: made = 4; break;
    case TO_F64: made = 8, t.odd = (int)next(); break;
    default: t.to = spec(), made = size_of(t.to);
    }
    size_t n = (size_t)next();
    int64_t *x[3] = {NULL, NULL, NULL};
    for (int k = 0; k < arity; k++) x[k] = column(n);
    int64_t *want = column(n);
    for (int kind = DENSE; kind <= SCALAR; kind++) {
        array in[3] = {{NULL, NULL, 0, 0, 0}, {NULL, NULL, 0, 0, 0}, {NULL, NULL, 0, 0, 0}};
        for (int k = 0; k < arity; k++) {
            int mine = kind == SCALAR && !constant(n, x[k]) ? DENSE : (kind + k) % SCALAR;
            if (kind == SCALAR && constant(n, x[k])) mine = SCALAR;
            in[k] = filled(mine, n, given, x[k]);
        }
        array out = make((kind + 2) % SCALAR, n, made);
        call(t, n, in, out);
        compare(out, want, "element-wise");
        for (int k = 0; k < arity; k++) free(in[k].block);
    }
    for (int k = 0; k < arity && given == made; k++) { /* an output may be exactly an input */
        array in[3] = {{NULL, NULL, 0, 0, 0}, {NULL, NULL, 0, 0, 0}, {NULL, NULL, 0, 0, 0}};
        for (int j = 0; j < arity; j++) in[j] = filled(DENSE, n, given, x[j]);
        call(t, n, in, in[k]);
        for (int j = 0; j < arity; j++)
            if (j != k) free(in[j].block);
        compare(in[k], want, "in place");
    }
    for (int k = 0; k < arity; k++) free(x[k]);
    free(want);
}

static void parts(void) {
    bp_spec s = spec();
    size_t n = (size_t)next();
    int64_t *bits = column(n), *want = column(n);
    array in = filled(DENSE, n, size_of(s), bits), out = make(DENSE, n, size_of(s));
    uint64_t *sig = room(n * 8);
    int64_t *scale = room(n * 8);
    bp_to_parts(s, n, in.first, sig, scale);
    bp_from_parts(s, n, sig, scale, out.first);
    compare(out, want, "parts");
    free(in.block), free(sig), free(scale), free(bits), free(want);
}

/* ---- the quire: one sum of products, in every way that there is ---------------------------- */

static void same(bp_layout l, const uint64_t *limb, int32_t flags, const int64_t *want,
                 int64_t want_flags, const char *what) {
    expect(flags == want_flags, what, 0, flags, want_flags);
    for (int i = 0; i < l.limbs; i++)
        expect((int64_t)limb[i] == want[i], what, (size_t)i, (int64_t)limb[i], want[i]);
}

static void quire(void) {
    bp_spec s = spec();
    bp_layout l;
    l.lsb = (int32_t)next(), l.width = (int32_t)next(), l.limbs = (int32_t)next(),
    l.exact = (int32_t)next();
    size_t n = (size_t)next(), many = (size_t)l.limbs;
    int64_t *a = column(n), *b = column(n), *want = column(many), flags = next(), rounded = next();
    int64_t *want_sum = column(many), sum_flags = next();
    uint64_t *q = room(many * 16), *r = q + many; /* two quires side by side */
    int32_t f[2];
#define CLEAR() (memset(q, 0, many * 16), f[0] = f[1] = 0)

    if (l.exact) {
        const bp_layout derived = bp_exact_layout(s);
        expect(derived.lsb == l.lsb, "lsb", 0, derived.lsb, l.lsb);
        expect(derived.width == l.width, "width", 0, derived.width, l.width);
        expect(derived.limbs == l.limbs, "limbs", 0, derived.limbs, l.limbs);
        expect(derived.exact == l.exact, "exact", 0, derived.exact, l.exact);
    }
    CLEAR();
    for (size_t i = 0; i < n; i++) bp_quire_fma(s, l, q, f, a[i], b[i], 0);
    same(l, q, f[0], want, flags, "fma");
    expect(bp_quire_round(s, l, q, f[0]) == rounded, "round", 0, bp_quire_round(s, l, q, f[0]),
           rounded);
    for (size_t i = 0; i < n; i++) bp_quire_fma(s, l, r, f + 1, a[i], b[i], 1);
    bp_quire_negate(l, r, f + 1);
    same(l, r, f[1], want, flags, "fma, negated");
    CLEAR();
    for (size_t i = 0; i < n; i++) bp_quire_fma(s, l, i % 3 ? q : r, f + !(i % 3), a[i], b[i], 0);
    bp_quire_merge(l, q, f, r, f[1]);
    same(l, q, f[0], want, flags, "merge");
    CLEAR();
    for (size_t i = 0; i < n; i++) bp_quire_add(s, l, q, f, a[i], 0);
    same(l, q, f[0], want_sum, sum_flags, "add");
    for (size_t i = 0; i < n; i++) bp_quire_add(s, l, q, f, a[i], 1);
    for (int i = 0; i < l.limbs; i++)
        expect(q[i] == 0, "add and subtract", (size_t)i, (int64_t)q[i], 0);

    for (int kind = DENSE; kind <= SCALAR; kind++) {
        if (kind == SCALAR && !constant(n, a)) continue;
        array x = filled(kind, n, size_of(s), a);
        array y = filled((kind + 1) % SCALAR, n, size_of(s), b);
        CLEAR();
        bp_quire_dot(s, l, q, f, n, x.first, x.stride, y.first, y.stride);
        same(l, q, f[0], want, flags, "dot");
        CLEAR();
        bp_quire_sum(s, l, q, f, n, x.first, x.stride);
        same(l, q, f[0], want_sum, sum_flags, "sum");
        CLEAR(); /* (1, n) times (n, 2), both columns the same */
        bp_quires_matmul(s, l, q, f, 1, n, 2, x.first, 0, x.stride, y.first, y.stride, 0);
        same(l, q, f[0], want, flags, "matmul");
        same(l, r, f[1], want, flags, "matmul");
        CLEAR(); /* (2, n) times (n, 1) */
        bp_quires_matmul(s, l, q, f, 2, n, 1, x.first, 0, x.stride, y.first, y.stride, 0);
        same(l, r, f[1], want, flags, "matmul");
        array out = make(DENSE, 2, size_of(s));
        const int64_t twice[2] = {rounded, rounded};
        bp_quires_round(s, l, q, f, 2, out.first);
        compare(out, twice, "round many");
        out = make(DENSE, 2, size_of(s));
        out = make(DENSE, 2, size_of(s));
        bp_dots(s, l, 2, n, x.first, 0, x.stride, y.first, 0, y.stride, out.first);
        compare(out, twice, "dots");
        CLEAR();
        for (size_t i = 0; i < n; i++) /* the same pattern into both */
            bp_quires_add(s, l, q, f, 2, x.first + (ptrdiff_t)i * x.stride, 0);
        same(l, r, f[1], want_sum, sum_flags, "add many");
        uint64_t *other = room(many * 16);
        memcpy(other, q, many * 16);
        int32_t g[2] = {f[0], f[1]};
        CLEAR();
        bp_quires_merge(l, q, f, 2, other, g);
        same(l, r, f[1], want_sum, sum_flags, "merge many");
        free(other), free(x.block), free(y.block);
    }
    free(q), free(a), free(b), free(want), free(want_sum);
}

int main(int argc, char **argv) {
    if (argc != 2 || !(file = fopen(argv[1], "rb"))) return 4;
    for (int64_t kind; (kind = next()) != END; record++) {
        if (kind == QUIRE) quire();
        else if (kind == PARTS) parts();
        else elementwise((int)kind);
    }
    fclose(file);
    printf("%ld records, %ld checks\n", record, checks);
    return 0;
}
