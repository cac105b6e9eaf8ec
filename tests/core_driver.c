/* Runs every exported function of the C core on cases from a file and compares the results.
 *
 * tests/test_sanitizers.py compiles this and core_sums.c with the core under AddressSanitizer and
 * UBSan, writes the cases (all numbers as 64-bit integers, floats as their bits) and runs it once.
 * Every array lies in a heap block of its exact size, so that one byte read or written outside is
 * an error.
 */
#include "core_driver.h"

FILE *file;
long record, checks;

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
    case ROUND: bp_round_f64(t.s, n, a.first, a.stride, out.first, out.stride); break;
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
    case ROUND: given = made = 8; break;
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
        array out = make(DENSE, 2, size_of(s));
        const int64_t twice[2] = {rounded, rounded};
        bp_dots(s, l, 2, n, x.first, 0, x.stride, y.first, 0, y.stride, out.first);
        compare(out, twice, "dots");
        free(x.block), free(y.block);
    }
    free(q), free(a), free(b), free(want), free(want_sum);
}

int main(int argc, char **argv) {
    if (argc != 2 || !(file = fopen(argv[1], "rb"))) return 4;
    for (int64_t kind; (kind = next()) != END; record++) {
        if (kind == QUIRE) quire();
        else if (kind == PARTS) parts();
        else if (kind == INTERVAL) intervals();
        else if (kind == WINDOW) windows();
        else if (kind == SLICE) slices();
        else if (kind == PRODUCT) products();
        else if (kind == FORM) forms();
        else if (kind == ADDENDS) addends();
        else elementwise((int)kind);
    }
    fclose(file);
    printf("%ld records, %ld checks\n", record, checks);
    return 0;
}
