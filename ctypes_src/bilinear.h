/* Bilinear forms of batches in one floating type. bilinear.c includes this text once for each.
 *
 * Coefficients lie one element of the batch after another. A stretch of BP_LINES lines of elements
 * is transposed, so that the sums run over the batch, whatever the table says; the second operand
 * is there twice, with both signs, so that a term is one product and one addition.
 */

typedef BP_REAL BP_TYPED(bp_line) __attribute__((vector_size(64), may_alias));
enum { BP_TYPED(BP_WIDTH) = BP_LINES * 64 / sizeof(BP_REAL) };

typedef struct {
    BP_REAL x[BP_TYPED(BP_WIDTH)];
} __attribute__((aligned(64))) BP_TYPED(bp_row);

/* to[c*st + r] = from[r*sf + c]; constant 4 x 4 blocks become moves of whole vectors */
BP_INLINE void BP_TYPED(bp_transpose)(BP_REAL *to, size_t st, const BP_REAL *from, size_t sf,
                                      size_t rows, size_t cols) {
    size_t r = 0;
    for (; r + 4 <= rows; r += 4) {
        size_t c = 0;
        for (; c + 4 <= cols; c += 4)
            for (size_t j = 0; j < 4; j++)
                for (size_t i = 0; i < 4; i++)
                    to[(c + j) * st + r + i] = from[(r + i) * sf + c + j];
        for (; c < cols; c++)
            for (size_t i = r; i < r + 4; i++) to[c * st + i] = from[i * sf + c];
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
