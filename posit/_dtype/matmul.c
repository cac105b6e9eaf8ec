/* Generalised ufuncs: every element of a product is an exact sum, rounded once. */
#include "dtype.h"

/* Core sizes and strides of a product (rows, inner)·(inner, cols), from whichever signature. */
typedef struct {
    npy_intp rows, inner, cols;
    npy_intp ar, ak, bk, bc, or_, oc;
} product_shape;

/* What quire puts here when it is imported: f(spec, a, b, out) on matrices of patterns. */
static PyObject *fast_product;
enum { FAST = 4096 }; /* multiply-adds from which on it pays */

PyObject *bp_set_product(PyObject *module, PyObject *function) {
    (void)module;
    Py_XSETREF(fast_product, Py_NewRef(function));
    Py_RETURN_NONE;
}

static PyObject *matrix(bp_spec s, npy_intp rows, npy_intp cols, npy_intp row, npy_intp col,
                        const char *data) {
    static const int types[] = {NPY_INT8, NPY_INT16, NPY_INT32, NPY_INT64};
    const int size = bp_bytes(s), type = types[size == 8 ? 3 : size / 2];
    npy_intp shape[2] = {rows, cols}, strides[2] = {row, col};
    return PyArray_New(&PyArray_Type, 2, shape, type, strides, (void *)(uintptr_t)data, 0,
                       NPY_ARRAY_WRITEABLE, NULL);
}

static int call_fast(PyArrayMethod_Context *c, bp_spec s, const char *a, const char *b, char *out,
                     product_shape p) {
    int result = -1;
    NPY_ALLOW_C_API_DEF
    NPY_ALLOW_C_API
    PyObject *x = matrix(s, p.rows, p.inner, p.ar, p.ak, a);
    PyObject *y = matrix(s, p.inner, p.cols, p.bk, p.bc, b);
    PyObject *z = matrix(s, p.rows, p.cols, p.or_, p.oc, out);
    if (x && y && z) {
        PyObject *spec = ((PositDescr *)c->descriptors[0])->object;
        PyObject *made = PyObject_CallFunctionObjArgs(fast_product, spec, x, y, z, NULL);
        result = made ? 0 : -1;
        Py_XDECREF(made);
    }
    Py_XDECREF(x);
    Py_XDECREF(y);
    Py_XDECREF(z);
    NPY_DISABLE_C_API
    return result;
}

/* Row by row, results by way of a buffer: they may lie apart. */
static void by_rows(bp_spec s, const char *a, const char *b, char *out, product_shape p) {
    enum { SOME = 64 };
    const bp_layout l = bp_exact_layout(s);
    const npy_intp size = bp_bytes(s);
    int64_t line[SOME];
    for (npy_intp i = 0; i < p.rows; i++) {
        for (npy_intp j = 0; j < p.cols; j += SOME) {
            npy_intp n = p.cols - j < SOME ? p.cols - j : SOME;
            bp_dots(s, l, (size_t)n, (size_t)p.inner, a + i * p.ar, 0, p.ak, b + j * p.bc, p.bc,
                    p.bk, line);
            for (npy_intp k = 0; k < n; k++)
                memcpy(out + i * p.or_ + (j + k) * p.oc, (char *)line + k * size, (size_t)size);
        }
    }
}

static int products(PyArrayMethod_Context *c, char *const *data, npy_intp count,
                    const npy_intp *outer, product_shape p) {
    bp_spec s = bp_spec_of(c->descriptors[0]);
    const int fast = fast_product && p.rows > 1 && p.cols > 1 &&
                     (double)p.rows * (double)p.cols * (double)p.inner > FAST;
    for (npy_intp n = 0; n < count; n++) {
        const char *a = data[0] + n * outer[0], *b = data[1] + n * outer[1];
        char *out = data[2] + n * outer[2];
        for (npy_intp i = 0; i < p.rows; i++)
            if (bp_check(s, p.inner, a + i * p.ar, p.ak) < 0) return -1;
        for (npy_intp j = 0; j < p.cols; j++)
            if (bp_check(s, p.inner, b + j * p.bc, p.bk) < 0) return -1;
        if (!fast) by_rows(s, a, b, out, p);
        else if (call_fast(c, s, a, b, out, p) < 0) return -1;
    }
    return 0;
}

#define GUFUNC(name, ...)                                                           \
    static int name(PyArrayMethod_Context *c, char *const *data, const npy_intp *d, \
                    const npy_intp *st, NpyAuxData *aux) {                          \
        (void)aux;                                                                  \
        return products(c, data, d[0], st, (product_shape){__VA_ARGS__});           \
    }
/* (m,n),(n,p)->(m,p) */
GUFUNC(matmul, d[1], d[2], d[3], st[3], st[4], st[5], st[6], st[7], st[8])
/* (n),(n)->() */
GUFUNC(vecdot, 1, d[1], 1, 0, st[3], st[4], 0, 0, 0)
/* (m,n),(n)->(m) */
GUFUNC(matvec, d[1], d[2], 1, st[3], st[4], st[5], 0, st[6], 0)
/* (n),(n,m)->(m) */
GUFUNC(vecmat, 1, d[1], d[2], 0, st[3], st[4], st[5], 0, st[6])

static NPY_CASTING resolve(struct PyArrayMethodObject_tag *m, PyArray_DTypeMeta *const *dt,
                           PyArray_Descr *const *given, PyArray_Descr **loop, npy_intp *offset) {
    (void)m, (void)dt, (void)offset;
    PositDescr *common = bp_common_of(2, given);
    if (common == NULL) return (NPY_CASTING)-1;
    for (int i = 0; i < 3; i++) loop[i] = (PyArray_Descr *)Py_NewRef((PyObject *)common);
    Py_DECREF(common);
    return NPY_SAFE_CASTING;
}

int bp_register_reductions(void) {
    static const struct {
        const char *name;
        void *loop;
    } table[] = {{"matmul", matmul}, {"vecdot", vecdot}, {"matvec", matvec}, {"vecmat", vecmat}};
    for (size_t i = 0; i < sizeof table / sizeof *table; i++) {
        PyArray_DTypeMeta *dtypes[3] = {&PositDType, &PositDType, &PositDType};
        PyType_Slot slots[] = {{NPY_METH_resolve_descriptors, resolve},
                               {NPY_METH_strided_loop, table[i].loop},
                               {NPY_METH_unaligned_strided_loop, table[i].loop},
                               {0, NULL}};
        if (bp_add_loop(table[i].name, 2, dtypes, slots, (NPY_ARRAYMETHOD_FLAGS)0) < 0) return -1;
    }
    return 0;
}
