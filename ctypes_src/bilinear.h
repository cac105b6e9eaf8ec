/* Bilinear forms of batches in one floating type. bilinear.c includes this text once for each.
 *
 * Coefficients lie one element of the batch after another. A stretch of BP_LINES lines of elements
 * is transposed, so that the sums run over the batch, whatever the table says; the second operand
 * is there twice, with both signs, so that a term is one product and one addition.
 */

typedef BP_REAL BP_TYPED(bp_line) __attribute__((vector_size(64), may_alias));
typedef BP_REAL BP_TYPED(bp_part) __attribute__((vector_size(16), aligned(4), may_alias));
enum { BP_TYPED(BP_WIDTH) = BP_LINES * 64 / sizeof(BP_REAL) };

typedef struct {
    BP_REAL x[BP_TYPED(BP_WIDTH)];
} __attribute__((aligned(64))) BP_TYPED(bp_row);

/* to[c*st + r] = from[r*sf + c] for a square block: a perfect shuffle of its rows in each round */
BP_INLINE void BP_TYPED(bp_block)(BP_REAL *to, size_t st, const BP_REAL *from, size_t sf) {
    typedef BP_TYPED(bp_part) part;
    enum { N = sizeof(part) / sizeof(BP_REAL) };
    part row[N], next[N];
    for (size_t i = 0; i < N; i++) row[i] = *(const part *)(from + i * sf);
    for (size_t round = 1; round < N; round *= 2) {
        for (size_t i = 0; i < N / 2; i++) {
            const part a = row[i], b = row[i + N / 2];
            next[2 * i] = (part)BP_LOW(a, b), next[2 * i + 1] = (part)BP_HIGH(a, b);
        }
        for (size_t i = 0; i < N; i++) row[i] = next[i];
    }
    for (size_t i = 0; i < N; i++) *(part *)(to + i * st) = row[i];
}

BP_INLINE void BP_TYPED(bp_transpose)(BP_REAL *to, size_t st, const BP_REAL *from, size_t sf,
                                      size_t rows, size_t cols) {
    enum { N = sizeof(BP_TYPED(bp_part)) / sizeof(BP_REAL) };
    size_t r = 0;
    for (; r + N <= rows; r += N) {
        size_t c = 0;
        for (; c + N <= cols; c += N)
            BP_TYPED(bp_block)(to + c * st + r, st, from + r * sf + c, sf);
        for (; c < cols; c++)
            for (size_t i = r; i < r + N; i++) to[c * st + i] = from[i * sf + c];
    }
    for (; r < rows; r++)
        for (size_t c = 0; c < cols; c++) to[c * st + r] = from[r * sf + c];
}

BP_CLONES void BP_TYPED(bp_bilinear)(bp_form f, size_t rows, const BP_REAL *a, size_t ra,
                                     const BP_REAL *b, size_t rb, BP_REAL *out) {
    typedef BP_TYPED(bp_line) line;
    const size_t left = (size_t)f.left, right = (size_t)f.right, outputs = (size_t)f.outputs;
    const size_t width = BP_TYPED(BP_WIDTH);
    BP_TYPED(bp_row) x[BP_MAX_BLADES], y[2 * BP_MAX_BLADES], z[BP_MAX_BLADES];
    memset(x, 0, left * sizeof *x); /* the last stretch may be short */
    memset(y, 0, right * sizeof *y);
    for (size_t r = 0; r < rows; r += width) {
        const size_t count = rows - r < width ? rows - r : width;
        BP_TYPED(bp_transpose)(x->x, width, a + r * ra, ra, count, left);
        BP_TYPED(bp_transpose)(y->x, width, b + r * rb, rb, count, right);
        for (size_t j = 0; j < right; j++)
            for (size_t l = 0; l < width; l++) y[right + j].x[l] = -y[j].x[l];
        for (size_t k = 0; k < outputs; k++) {
            line s0 = {0}, s1 = {0}, s2 = {0}, s3 = {0};
            for (int32_t t = f.start[k]; t < f.start[k + 1]; t++) {
                const line *u = (const line *)x[f.term[2 * t]].x;
                const line *v = (const line *)y[f.term[2 * t + 1]].x;
                s0 += u[0] * v[0];
                s1 += u[1] * v[1];
                s2 += u[2] * v[2];
                s3 += u[3] * v[3];
            }
            line *w = (line *)z[k].x;
            w[0] = s0, w[1] = s1, w[2] = s2, w[3] = s3;
        }
        BP_TYPED(bp_transpose)(out + r * outputs, outputs, z->x, width, outputs, count);
    }
}
