/* Generalised ufuncs: every element of a product is one quire, rounded once. */
#include "dtype.h"

/* One quire dot product of `inner` terms. */
static void dot_into(bp_spec s, bp_layout l, npy_intp inner, const char *a, npy_intp sa,
                     const char *b, npy_intp sb, char *out) {
    uint64_t limb[BP_MAX_LIMBS];
    int32_t flags = 0;
    memset(limb, 0, (size_t)l.limbs * 8); /* not all of them: most formats need a few */
    bp_quire_dot(s, l, limb, &flags, (size_t)inner, a, sa, b, sb);
    bp_put(out, s, bp_quire_round(s, l, limb, flags));
}

/* Core sizes and strides of a product (rows, inner)·(inner, cols), from whichever signature. */
typedef struct {
    npy_intp rows, inner, cols;
    npy_intp ar, ak, bk, bc, or_, oc;
} product_shape;

static int products(PyArrayMethod_Context *c, char *const *data, npy_intp count,
                    const npy_intp *outer, product_shape p) {
    bp_spec s = bp_spec_of(c->descriptors[0]);
    bp_layout l = bp_exact_layout(s);
    for (npy_intp n = 0; n < count; n++) {
        const char *a = data[0] + n * outer[0], *b = data[1] + n * outer[1];
        char *out = data[2] + n * outer[2];
        for (npy_intp i = 0; i < p.rows; i++)
            if (bp_check(s, p.inner, a + i * p.ar, p.ak) < 0) return -1;
        for (npy_intp j = 0; j < p.cols; j++)
            if (bp_check(s, p.inner, b + j * p.bc, p.bk) < 0) return -1;
        for (npy_intp i = 0; i < p.rows; i++)
            for (npy_intp j = 0; j < p.cols; j++)
                dot_into(s, l, p.inner, a + i * p.ar, p.ak, b + j * p.bc, p.bk,
                         out + i * p.or_ + j * p.oc);
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
