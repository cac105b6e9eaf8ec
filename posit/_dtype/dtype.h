/* The NumPy dtype of posits: what its files share.
 *
 * One parametric DType; an instance carries a spec. Elements are the core's patterns, so every
 * loop is a call into the core over strided memory; nothing here computes with numbers.
 */
#ifndef BPOSIT_DTYPE_H
#define BPOSIT_DTYPE_H

#define PY_SSIZE_T_CLEAN
#include <Python.h>

#define PY_ARRAY_UNIQUE_SYMBOL bposit_ARRAY_API
#define PY_UFUNC_UNIQUE_SYMBOL bposit_UFUNC_API
#define NPY_NO_DEPRECATED_API NPY_2_0_API_VERSION
#define NPY_TARGET_VERSION NPY_2_1_API_VERSION
#ifndef BPOSIT_IMPORTS_NUMPY
#define NO_IMPORT_ARRAY
#define NO_IMPORT_UFUNC
#endif
#include <numpy/arrayobject.h>
#include <numpy/ufuncobject.h>
#include <numpy/dtype_api.h>

#include "lanes.h"

/* Where NumPy makes an array of a Python number before it knows the format (copyto, full), the
 * elements are of "some posit", n = 0: the number itself, rounded to odd at 64 bits. Any format has
 * at most 62, so that the cast to it rounds as the number itself would. */
typedef struct {
    uint64_t sig; /* bit 63 set, or 0 for zero */
    int32_t scale;
    int32_t kind;
} bp_number;
enum { BP_POSITIVE, BP_NEGATIVE, BP_NOT_REAL };

typedef struct {
    PyArray_Descr base;
    bp_spec spec;
    PyObject *object; /* the posit.PositSpec, or NULL where n = 0 */
} PositDescr;

extern PyArray_DTypeMeta PositDType;

/* Python-side helpers, set once by posit/_dtype/__init__.py and kept for the process. */
typedef struct {
    PyObject *spec;      /* class PositSpec */
    PyObject *scalar;    /* class Posit */
    PyObject *from_bits; /* (bits, spec) -> Posit */
    PyObject *to_bits;   /* (any Python number or text, spec) -> int */
    PyObject *to_number; /* (any Python number or text) -> (sig, scale, kind) */
    PyObject *to_text;   /* (bits, spec) -> str */
    PyObject *function;  /* (ufunc name) -> callable(*patterns, spec, out=…) */
} bp_helpers;
extern bp_helpers bp_python;

PositDescr *bp_new_descr(PyObject *spec); /* a PositSpec, or NULL for "some posit" */
static inline bp_spec bp_spec_of(const PyArray_Descr *d) { return ((const PositDescr *)d)->spec; }
static inline int bp_is_posit(const PyArray_Descr *d) {
    return (const void *)Py_TYPE(d) == (const void *)&PositDType;
}
static inline int bp_bytes(bp_spec s) { return s.n <= 8 ? 1 : s.n <= 16 ? 2 : s.n <= 32 ? 4 : 8; }
static inline int64_t bp_get(const char *p, bp_spec s) {
    int8_t a;
    int16_t b;
    int32_t c;
    int64_t d;
    switch (bp_bytes(s)) {
    case 1: memcpy(&a, p, 1); return a;
    case 2: memcpy(&b, p, 2); return b;
    case 4: memcpy(&c, p, 4); return c;
    default: memcpy(&d, p, 8); return d;
    }
}
static inline void bp_put(char *p, bp_spec s, int64_t v) {
    int8_t a = (int8_t)v;
    int16_t b = (int16_t)v;
    int32_t c = (int32_t)v;
    switch (bp_bytes(s)) {
    case 1: memcpy(p, &a, 1); break;
    case 2: memcpy(p, &b, 2); break;
    case 4: memcpy(p, &c, 4); break;
    default: memcpy(p, &v, 8);
    }
}
static inline int bp_typenum(bp_spec s) {
    switch (bp_bytes(s)) {
    case 1: return NPY_INT8;
    case 2: return NPY_INT16;
    case 4: return NPY_INT32;
    default: return NPY_INT64;
    }
}

/* Runs `call` with SIZE a constant: the bytes of a pattern. */
#define BY_SIZE(s, call)   \
    switch (bp_bytes(s)) { \
    case 1: {              \
        enum { SIZE = 1 }; \
        call;              \
        break;             \
    }                      \
    case 2: {              \
        enum { SIZE = 2 }; \
        call;              \
        break;             \
    }                      \
    case 4: {              \
        enum { SIZE = 4 }; \
        call;              \
        break;             \
    }                      \
    default: {             \
        enum { SIZE = 8 }; \
        call;              \
    }                      \
    }

int bp_constant(PyArray_Descr *d, int id, void *to); /* constants.c */
int bp_setitem(PositDescr *d, PyObject *value, char *p);
PyObject *bp_getitem(PositDescr *d, char *p);
PositDescr *bp_common(PositDescr *a, PositDescr *b);
PositDescr *bp_common_of(int n, PyArray_Descr *const *given);
int bp_no_format(void); /* raises TypeError and returns -1; needs no GIL */
/* 0 if all are patterns, as the core takes for granted; else raises ValueError and returns -1. */
int bp_check(bp_spec s, npy_intp n, const char *p, npy_intp stride);

PyArrayMethod_Spec **bp_casts(void); /* casts.c; NULL-terminated */
int bp_register_ufuncs(void);        /* ufuncs.c */
int bp_register_reductions(void);
PyObject *bp_set_product(PyObject *module, PyObject *function); /* matmul.c */
int bp_add_loop(const char *ufunc, int nin, PyArray_DTypeMeta **dtypes, PyType_Slot *slots,
                NPY_ARRAYMETHOD_FLAGS flags);

/* order.c: loops of comparisons, extrema and predicates */
#define LOOP(name)                                                              \
    int name(PyArrayMethod_Context *c, char *const *data, const npy_intp *dims, \
             const npy_intp *strides, NpyAuxData *aux)
LOOP(bp_loop_less);
LOOP(bp_loop_less_equal);
LOOP(bp_loop_greater);
LOOP(bp_loop_greater_equal);
LOOP(bp_loop_equal);
LOOP(bp_loop_not_equal);
LOOP(bp_loop_maximum);
LOOP(bp_loop_minimum);
LOOP(bp_loop_fmax);
LOOP(bp_loop_fmin);
LOOP(bp_loop_clip);
LOOP(bp_loop_isnan);
LOOP(bp_loop_isfinite);
LOOP(bp_loop_isinf);
LOOP(bp_loop_signbit);
LOOP(bp_loop_logical_not);
LOOP(bp_loop_nonzero);

/* text.c: casts from and to str, bytes and StringDType */
PyArrayMethod_ResolveDescriptors bp_resolve_to_text, bp_resolve_from_text;
LOOP(bp_to_text);
LOOP(bp_from_text);

/* arrfuncs.c: the slots that NumPy still takes as functions on whole arrays */
PyArray_CompareFunc bp_compare;
PyArray_ArgFunc bp_argmax, bp_argmin;
PyArray_NonzeroFunc bp_nonzero;
PyArray_FillFunc bp_fill;
PyArray_FillWithScalarFunc bp_fill_scalar;
PyArray_SortFunc bp_sort;
PyArray_ArgSortFunc bp_argsort, bp_argsort_stable;
PyArray_CopySwapFunc bp_copyswap;
PyArray_CopySwapNFunc bp_copyswapn;
/* Elements of a posit dtype as they are; memory may overlap as NumPy's own copies allow. */
void bp_move(char *to, npy_intp st, const char *from, npy_intp sf, npy_intp n, npy_intp size);
PyArray_FromStrFunc bp_fromstr;

#endif
