/* The driver's records of sums: element-wise ones, intervals, windows of digits, slices, certified
 * products, forms. */
#include "core_driver.h"

#include <math.h>

static int64_t bits_of(double x) {
    int64_t bits;
    memcpy(&bits, &x, sizeof bits);
    return x != x ? INT64_MAX : bits; /* one NaN for all */
}

static double *doubles(size_t count) {
    int64_t *bits = column(count);
    double *x = room(count * sizeof *x);
    memcpy(x, bits, count * sizeof *x);
    free(bits);
    return x;
}

void intervals(void) {
    bp_spec s = spec();
    int certifies = (int)next();
    size_t n = (size_t)next();
    int64_t *a = column(n), *b = column(n), middle = next(), error = next();
    expect(bp_certifies(s) == certifies, "certifies", 0, bp_certifies(s), certifies);
    for (int kind = DENSE; certifies && kind <= SCALAR; kind++) {
        if (kind == SCALAR && !constant(n, b)) continue;
        array x = filled((kind + 1) % SCALAR, n, size_of(s), a);
        array y = filled(kind, n, size_of(s), b);
        bp_interval found = bp_dot_enclosed(s, n, x.first, x.stride, y.first, y.stride);
        expect(bits_of(found.middle) == middle, "middle", 0, bits_of(found.middle), middle);
        expect(bits_of(found.error) == error, "error", 0, bits_of(found.error), error);
        free(x.block), free(y.block);
    }
    free(a), free(b);
}

/* ---- element-wise sums -------------------------------------------------------------------- */

static bp_result place(bp_spec s, array a) {
    bp_result r = {s, 0, a.first, a.stride};
    return r;
}

enum { MOST = 40 };

static int fits(bp_spec s) { return s.n - 3 - s.es <= 52 && s.rs << s.es <= 1022; }

/* A column of patterns as doubles where they fit, else as patterns. */
static array numbers(int kind, bp_spec s, size_t n, const int64_t *x) {
    array bits = filled(DENSE, n, size_of(s), x);
    if (!fits(s)) return bits;
    array a = make(kind, n, 8);
    bp_decode_f64(s, n, bits.first, bits.stride, a.first, a.stride, 0);
    free(bits.block);
    return a;
}

static void compare_numbers(array out, bp_spec s, const int64_t *want, const char *what) {
    array bits = make(DENSE, out.count, size_of(s));
    if (fits(s)) bp_encode_f64(s, out.count, out.first, out.stride, bits.first, bits.stride);
    compare(fits(s) ? bits : out, want, what);
    free(fits(s) ? out.block : bits.block);
}

/* The same sums of terms, and to results, that are doubles; the first is also a result. */
static void in_doubles(size_t terms, const bp_spec *s, bp_spec to, bp_spec rest, size_t n,
                       int64_t *const *x, const int64_t *near, const int64_t *left) {
    array in[MOST];
    bp_addend term[MOST];
    for (size_t k = 0; k < terms; k++) {
        in[k] = numbers((int)k % SCALAR, s[k], n, x[k]);
        bp_addend t = {s[k], fits(s[k]), 1, in[k].first, in[k].stride};
        term[k] = t;
    }
    array out = make(SPACED, n, fits(to) ? 8 : size_of(to));
    array lost = make(REVERSED, n, fits(rest) ? 8 : size_of(rest));
    const bp_result apart = {to, fits(to), out.first, out.stride};
    const bp_result other = {rest, fits(rest), lost.first, lost.stride};
    const bp_result within = {to, 1, in[0].first, in[0].stride};
    /* tests/posit/test_sums.py looks at products, this at memory */
    for (size_t k = 0; k < terms; k++) term[k].factor = 0.25;
    bp_sum_of(terms, term, n, apart, other);
    for (size_t k = 0; k < terms; k++) term[k].factor = 1;
    bp_sum_of(terms, term, n, apart, other);
    compare_numbers(out, to, near, "sum of doubles");
    compare_numbers(lost, rest, left, "rest of doubles");
    const int in_place = fits(to) && fits(s[0]);
    const bp_result nothing = {rest, 0, NULL, 0};
    if (in_place) bp_sum_of(terms, term, n, within, nothing);
    for (size_t k = in_place ? 1 : 0; k < terms; k++) free(in[k].block);
    if (in_place) compare_numbers(in[0], to, near, "sum of doubles, in place");
}

void addends(void) {
    size_t terms = (size_t)next(), n;
    bp_spec s[MOST], to, rest;
    int64_t *x[MOST];
    if (terms > MOST) exit(2);
    for (size_t k = 0; k < terms; k++) s[k] = spec();
    to = spec(), rest = spec(), n = (size_t)next();
    for (size_t k = 0; k < terms; k++) x[k] = column(n);
    int64_t *near = column(n), *left = column(n);
    const bp_result nothing = {rest, 0, NULL, 0};
    for (int kind = DENSE; kind <= SCALAR; kind++) {
        array in[MOST], out, lost;
        bp_addend term[MOST];
        for (size_t k = 0; k < terms; k++) {
            int scalar = kind == SCALAR && constant(n, x[k]);
            in[k] = filled(scalar ? SCALAR : (kind + (int)k) % SCALAR, n, size_of(s[k]), x[k]);
            bp_addend t = {s[k], 0, 1, in[k].first, in[k].stride};
            term[k] = t;
        }
        out = make((kind + 1) % SCALAR, n, size_of(to));
        bp_sum_of(terms, term, n, place(to, out), nothing);
        compare(out, near, "sum");
        out = make((kind + 2) % SCALAR, n, size_of(to));
        lost = make((kind + 3) % SCALAR, n, size_of(rest));
        bp_sum_of(terms, term, n, place(to, out), place(rest, lost));
        compare(out, near, "sum, with its rest");
        compare(lost, left, "rest");
        for (size_t k = 0; k < terms; k++) free(in[k].block);
    }
    for (size_t k = 0; k < terms; k++) { /* results may be terms */
        array in[MOST];
        bp_addend term[MOST];
        size_t other = (k + 1) % terms;
        if (size_of(s[k]) != size_of(to) || size_of(s[other]) != size_of(rest) || terms < 2)
            continue;
        for (size_t j = 0; j < terms; j++) {
            in[j] = filled(DENSE, n, size_of(s[j]), x[j]);
            bp_addend t = {s[j], 0, 1, in[j].first, in[j].stride};
            term[j] = t;
        }
        bp_sum_of(terms, term, n, place(to, in[k]), place(rest, in[other]));
        for (size_t j = 0; j < terms; j++)
            if (j != k && j != other) free(in[j].block);
        compare(in[k], near, "sum, in place");
        compare(in[other], left, "rest, in place");
    }
    in_doubles(terms, s, to, rest, n, x, near, left);
    for (size_t k = 0; k < terms; k++) free(x[k]);
    free(near), free(left);
}

/* ---- windows ------------------------------------------------------------------------------ */

static bp_window window(size_t count, int32_t low, int32_t planes) {
    bp_window w = {count, low, planes, NULL, NULL};
    w.digit = room((size_t)planes * count * 8), w.nar = room(count);
    memset(w.digit, 0, (size_t)planes * count * 8);
    memset(w.nar, 0, count);
    return w;
}

static void widen(bp_window *w, int32_t low, int32_t planes) {
    bp_window to = window(w->count, low, planes);
    size_t at = (size_t)(w->low - low) / 32, plane = w->count * 8;
    if (w->planes) memcpy(to.digit + at * w->count, w->digit, (size_t)w->planes * plane);
    memcpy(to.nar, w->nar, w->count);
    free(w->digit), free(w->nar);
    *w = to;
}

/* In a window that may be too small at first, and then is as large as it ever need be. */
static void add(bp_spec s, bp_window *w, size_t first, size_t step, array p, int64_t by,
                int32_t low, int32_t planes) {
    int32_t need[2];
    size_t done = bp_window_add(s, *w, first, step, p.count, p.first, p.stride, by, need);
    if (done == p.count) return;
    expect(need[0] < w->low || need[1] > w->low + 32 * w->planes, "need", done, need[0], w->low);
    expect(need[0] >= low, "need", done, need[0], low);
    expect(need[1] <= low + 32 * planes, "need", done, need[1], low + 32 * planes);
    widen(w, low, planes);
    const char *rest = p.first + (ptrdiff_t)done * p.stride;
    done +=
        bp_window_add(s, *w, first + done * step, step, p.count - done, rest, p.stride, by, need);
    expect(done == p.count, "added", 0, (int64_t)done, (int64_t)p.count);
}

void windows(void) {
    bp_spec s = spec();
    int32_t low = (int32_t)next(), planes = (int32_t)next();
    int32_t first_low = (int32_t)next(), first_planes = (int32_t)next();
    int64_t by = next(), one = next();
    int32_t exponent = (int32_t)next();
    size_t n = (size_t)next(), count = 2 * n;
    int64_t *p = column(n), *q = column(n);
    double *x = doubles(n);
    int64_t most = next(), *digit = column((size_t)planes * count), *nar = column(count);
    int64_t *rounded = column(count);
    for (int kind = DENSE; kind < SCALAR; kind++) {
        bp_window w = window(count, first_low, first_planes);
        array a = filled(kind, n, size_of(s), p);
        array b = filled((kind + 1) % SCALAR, n, size_of(s), q);
        add(s, &w, 0, 1, a, by, low, planes);
        add(s, &w, 1 % (count + 1), 2, b, one, low, planes);
        if (w.planes != planes) widen(&w, low, planes);
        bp_window_add_f64(w, n, n, x, exponent);
        if (n) bp_window_add_dot(s, w, count - 1, n, a.first, a.stride, b.first, b.stride);
        for (int carried = 0; carried < 2; carried++) {
            array out = make(DENSE, count, size_of(s));
            bp_window_round(s, bp_exact_layout(s), w, 0, count, out.first);
            compare(out, rounded, "rounded sums");
            int64_t found = carried ? most : bp_window_carry(w);
            expect(found == most, "topmost digit", 0, found, most);
        }
        for (size_t i = 0; i < (size_t)planes * count; i++)
            expect(w.digit[i] == digit[i], "digit", i, w.digit[i], digit[i]);
        for (size_t i = 0; i < count; i++)
            expect((w.nar[i] != 0) == nar[i], "NaR", i, w.nar[i], nar[i]);
        free(w.digit), free(w.nar), free(a.block), free(b.block);
    }
    free(p), free(q), free(x), free(digit), free(nar), free(rounded);
}

/* ---- slices and products ------------------------------------------------------------------ */

void slices(void) {
    bp_spec s = spec();
    int32_t from = (int32_t)next(), top = (int32_t)next();
    int bits = (int)next(), parts = (int)next();
    size_t span = (size_t)next(), n = (size_t)next(), outside = (size_t)next();
    int64_t *p = column(n), *highest = column(span), *lowest = column(span);
    int64_t *part = column((size_t)parts * n), *elsewhere = column(outside);
    for (int kind = DENSE; kind < SCALAR; kind++) {
        array a = filled(kind, n, size_of(s), p);
        int64_t *high = room(span * 8), *least = room(span * 8), *where = room(n * 8);
        double *cut = room((size_t)parts * n * 8);
        memset(high, 0, span * 8), memset(least, 0, span * 8);
        bp_extent(s, n, a.first, a.stride, from, high, least);
        for (size_t i = 0; i < span; i++) {
            expect(high[i] == highest[i], "highest bits", i, high[i], highest[i]);
            expect(least[i] == lowest[i], "lowest bits", i, least[i], lowest[i]);
        }
        int32_t ends[2] = {0, 0}, low = INT32_MAX,
                high_bit = INT32_MIN; /* not tighter than it is */
        int some = bp_span(s, n, a.first, a.stride, ends);
        for (size_t i = 0; i < span; i++) {
            if (least[i] && (int32_t)i + from < low) low = (int32_t)i + from;
            if (high[i]) high_bit = (int32_t)i + from;
        }
        expect(some == (high_bit >= low), "span", 0, some, high_bit >= low);
        if (some) expect(ends[0] <= low && ends[1] == high_bit + 1, "span", 1, ends[0], ends[1]);
        size_t found = bp_slice(s, n, a.first, a.stride, top, bits, parts, cut, n, where);
        expect(found == outside, "outside", 0, (int64_t)found, (int64_t)outside);
        for (size_t i = 0; i < found; i++)
            expect(where[i] == elsewhere[i], "outside", i, where[i], elsewhere[i]);
        for (size_t i = 0; i < (size_t)parts * n; i++)
            expect((int64_t)cut[i] == part[i], "slice", i, (int64_t)cut[i], part[i]);
        free(a.block), free(high), free(least), free(where), free(cut);
    }
    free(p), free(highest), free(lowest), free(part), free(elsewhere);
}

static double lowest_bit(double x) {
    int exponent;
    if (x == 0) return INFINITY;
    frexp(x, &exponent);
    double bit = ldexp(1, exponent - 53);
    while (fmod(x, 2 * bit) == 0) bit *= 2;
    return bit;
}

/* The largest powers of two that divide rows and columns without NaN, asked for together and not.
 */
static void grids(size_t rows, size_t cols, const double *x) {
    double *row = (double *)room(rows * 8), *col = (double *)room(cols * 8);
    for (int which = 1; which <= 3; which++) {
        bp_grids(rows, cols, x, which & 1 ? row : NULL, which & 2 ? col : NULL);
        for (size_t line = 0; line < rows + cols; line++) {
            const int is_row = line < rows;
            if (!(which & (is_row ? 1 : 2))) continue;
            double least = INFINITY, got = is_row ? row[line] : col[line - rows];
            int finite = 1;
            for (size_t k = 0; k < (is_row ? cols : rows); k++) {
                double v = is_row ? x[line * cols + k] : x[k * cols + line - rows];
                if (!isfinite(v)) finite = 0;
                else least = fmin(least, lowest_bit(v));
            }
            if (finite) expect(got == least, "grid", line, (int64_t)got, (int64_t)least);
        }
    }
    free(row), free(col);
}

/* Estimates and their bounds are given; whatever they decide, and all else, is the exact sum. */
void products(void) {
    bp_spec s = spec();
    size_t rows = (size_t)next(), inner = (size_t)next(), cols = (size_t)next(), all = rows * cols;
    int added = (int)next(), by_norms = (int)next(), size = size_of(s);
    int64_t *a = column(rows * inner), *b = column(inner * cols), *c = column(added ? all : 0);
    double *estimate = doubles(all), *row = doubles(rows), *col = doubles(by_norms ? cols : 0);
    double *magnitude = doubles(by_norms ? 0 : all);
    size_t left = (size_t)next();
    int64_t *undecided = column(left), *right = column(all), *every = room(all * 8);
    for (size_t i = 0; i < all; i++) every[i] = (int64_t)i;
    grids(rows, cols, estimate);
    for (int kind = DENSE; kind < SCALAR; kind++) {
        array x = filled(kind, rows * inner, size, a), y = filled(kind, inner * cols, size, b);
        array z = filled((kind + 1) % SCALAR, added ? all : 0, size, c);
        const ptrdiff_t wide = (ptrdiff_t)cols;
        bp_product p = {rows,
                        cols,
                        estimate,
                        row,
                        by_norms ? col : NULL,
                        by_norms ? NULL : magnitude,
                        added ? z.first : NULL,
                        wide * z.stride,
                        z.stride};
        bp_factors f = {inner,    x.first,         y.first, (ptrdiff_t)inner * x.stride,
                        x.stride, wide * y.stride, y.stride};
        for (size_t space = 0; space <= left; space += left ? left : 1) {
            array out = make(DENSE, all, size);
            int64_t *where = room(space * 8);
            size_t found = bp_certify(s, p, out.first, where, space);
            expect(found == left, "undecided", 0, (int64_t)found, (int64_t)left);
            for (size_t i = 0; i < space; i++)
                expect(where[i] == undecided[i], "undecided", i, where[i], undecided[i]);
            bp_decide(s, p, f, undecided, left, out.first);
            compare(out, right, "certified product");
            free(where);
        }
        array out = make(DENSE, all, size);
        bp_decide(s, p, f, every, all, out.first);
        compare(out, right, "product");
        free(x.block), free(y.block), free(z.block);
    }
    free(a), free(b), free(c), free(estimate), free(row), free(col), free(magnitude);
    free(undecided), free(right), free(every);
}

/* ---- bilinear forms ----------------------------------------------------------------------- */

/* Coefficients are small integers, so that both types give the exact sums. */
void forms(void) {
    size_t left = (size_t)next(), right = (size_t)next(), outputs = (size_t)next();
    size_t rows = (size_t)next(), ra = (size_t)next(), rb = (size_t)next();
    size_t size_a = (size_t)next(), size_b = (size_t)next();
    int64_t *first = column(outputs + 1);
    size_t terms = 2 * (size_t)first[outputs];
    int64_t *pairs = column(terms);
    array start = filled(DENSE, outputs + 1, 4, first), term = filled(DENSE, terms, 1, pairs);
    int64_t *a = column(size_a), *b = column(size_b), *want = column(rows * outputs);
    bp_form f = {(int32_t)left, (int32_t)right, (int32_t)outputs, (const int32_t *)start.first,
                 (const uint8_t *)term.first};
    float *a32 = room(size_a * 4), *b32 = room(size_b * 4), *out32 = room(rows * outputs * 4);
    double *a64 = room(size_a * 8), *b64 = room(size_b * 8), *out64 = room(rows * outputs * 8);
    for (size_t i = 0; i < size_a; i++) a32[i] = (float)a[i], a64[i] = (double)a[i];
    for (size_t i = 0; i < size_b; i++) b32[i] = (float)b[i], b64[i] = (double)b[i];
    bp_bilinear_f32(f, rows, a32, ra, b32, rb, out32);
    bp_bilinear_f64(f, rows, a64, ra, b64, rb, out64);
    for (size_t i = 0; i < rows * outputs; i++) {
        expect(out32[i] == (float)want[i], "form, float", i, (int64_t)out32[i], want[i]);
        expect(out64[i] == (double)want[i], "form, double", i, (int64_t)out64[i], want[i]);
    }
    free(a32), free(b32), free(out32), free(a64), free(b64), free(out64);
    free(a), free(b), free(want), free(first), free(pairs);
    free(start.block), free(term.block);
}
