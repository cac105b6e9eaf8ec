/* Casts between posits and every numeric type of NumPy, text, and other posits. */
#include "dtype.h"

#include <fenv.h>
#include <numpy/halffloat.h>

enum { CHUNK = 256 };

/* ---- posit to posit ---- */
static int same_spec(bp_spec a, bp_spec b) { return a.n == b.n && a.rs == b.rs && a.es == b.es; }
static NPY_CASTING resolve_posit(struct PyArrayMethodObject_tag *m, PyArray_DTypeMeta *const *dt,
                                 PyArray_Descr *const *given, PyArray_Descr **loop,
                                 npy_intp *view_offset) {
    (void)m, (void)dt;
    PyArray_Descr *to = given[1] ? given[1] : given[0];
    bp_spec a = bp_spec_of(given[0]), b = bp_spec_of(to);
    Py_INCREF(given[0]);
    Py_INCREF(to);
    loop[0] = given[0], loop[1] = to;
    if (same_spec(a, b)) {
        *view_offset = 0;
        return NPY_NO_CASTING;
    }
    return a.rs == b.rs && a.es == b.es && a.n <= b.n ? NPY_SAFE_CASTING : NPY_SAME_KIND_CASTING;
}
static int number_loop(bp_spec s, char *const *data, npy_intp n, const npy_intp *strides) {
    for (npy_intp i = 0; i < n; i++) {
        bp_number x;
        memcpy(&x, data[0] + i * strides[0], sizeof x);
        int64_t body = x.sig ? (int64_t)bp_pack64(x.scale, x.sig, 0, s) : 0;
        int64_t p = x.kind == BP_NEGATIVE ? -body : body;
        bp_put(data[1] + i * strides[1], s, x.kind == BP_NOT_REAL ? bp_nar(s) : p);
    }
    return 0;
}
static int posit_loop(PyArrayMethod_Context *c, char *const *data, const npy_intp *dims,
                      const npy_intp *strides, NpyAuxData *aux) {
    (void)aux;
    bp_spec from = bp_spec_of(c->descriptors[0]), to = bp_spec_of(c->descriptors[1]);
    npy_intp size = c->descriptors[0]->elsize;
    if (same_spec(from, to)) {
        for (npy_intp i = 0; i < dims[0]; i++)
            memmove(data[1] + i * strides[1], data[0] + i * strides[0], (size_t)size);
        return 0;
    }
    if (to.n == 0) return bp_no_format();
    if (from.n == 0) return number_loop(to, data, dims[0], strides);
    if (bp_check(from, dims[0], data[0], strides[0]) < 0) return -1;
    bp_convert(from, to, (size_t)dims[0], data[0], strides[0], data[1], strides[1]);
    return 0;
}

/* ---- numbers to posit ---- */
static NPY_CASTING resolve_into(struct PyArrayMethodObject_tag *m, PyArray_DTypeMeta *const *dt,
                                PyArray_Descr *const *given, PyArray_Descr **loop,
                                npy_intp *view_offset) {
    (void)m, (void)dt, (void)view_offset;
    PyArray_Descr *to = given[1] ? (PyArray_Descr *)Py_NewRef((PyObject *)given[1])
                                 : (PyArray_Descr *)bp_new_descr(NULL);
    if (to == NULL) return (NPY_CASTING)-1;
    loop[0] = PyArray_DescrNewByteorder(given[0], NPY_NATIVE);
    if (loop[0] == NULL) {
        Py_DECREF(to);
        return (NPY_CASTING)-1;
    }
    loop[1] = to;
    /* never safe, not even from bool: NumPy's einsum would trust it and return garbage */
    int real = PyTypeNum_ISBOOL(given[0]->type_num) || PyTypeNum_ISINTEGER(given[0]->type_num) ||
               PyTypeNum_ISFLOAT(given[0]->type_num);
    return real ? NPY_SAME_KIND_CASTING : NPY_UNSAFE_CASTING;
}

/* A long double has up to 113 significand bits: 64 of them and a sticky bit round like all. */
static int64_t encode_long(npy_longdouble x, bp_spec s) {
    if (x == 0) return 0;
    if (!isfinite(x)) return bp_nar(s);
    int exponent;
    npy_longdouble scaled = ldexpl(frexpl(x < 0 ? -x : x, &exponent), 64);
    uint64_t sig = (uint64_t)scaled;
    int64_t body = (int64_t)bp_pack64(exponent - 1, sig, scaled != (npy_longdouble)sig, s);
    return x < 0 ? -body : body;
}

/* As NumPy does where complex becomes real. */
static int warn_of_complex(void) {
    PyObject *module = PyImport_ImportModule("numpy.exceptions");
    PyObject *category = module ? PyObject_GetAttrString(module, "ComplexWarning") : NULL;
    const char *text = "Casting complex values to posits discards the imaginary part";
    int result = category ? PyErr_WarnEx(category, text, 1) : -1;
    Py_XDECREF(category);
    Py_XDECREF(module);
    return result;
}

static int into_loop(PyArrayMethod_Context *c, char *const *data, const npy_intp *dims,
                     const npy_intp *strides, NpyAuxData *aux) {
    (void)aux;
    const int type = c->descriptors[0]->type_num;
    const bp_spec s = bp_spec_of(c->descriptors[1]);
    const char *in = data[0];
    char *out = data[1];
    npy_intp si = strides[0], so = strides[1], n = dims[0];
    if (s.n == 0) return bp_no_format();
    if (PyTypeNum_ISCOMPLEX(type) && warn_of_complex() < 0) return -1;
    switch (type) {
    case NPY_FLOAT: bp_encode_f32(s, (size_t)n, in, si, out, so); return 0;
    case NPY_DOUBLE: bp_encode_f64(s, (size_t)n, in, si, out, so); return 0;
    case NPY_CFLOAT: bp_encode_f32(s, (size_t)n, in, si, out, so); return 0;
    case NPY_CDOUBLE: bp_encode_f64(s, (size_t)n, in, si, out, so); return 0;
    case NPY_LONGDOUBLE:
    case NPY_CLONGDOUBLE:
        for (npy_intp i = 0; i < n; i++) {
            npy_longdouble x;
            memcpy(&x, in + i * si, sizeof x);
            bp_put(out + i * so, s, encode_long(x, s));
        }
        return 0;
    default: break;
    }
    while (n > 0) { /* the narrow ones by way of a buffer of a type that the core takes */
        npy_intp k = n < CHUNK ? n : CHUNK;
        union {
            int64_t i[CHUNK];
            uint64_t u[CHUNK];
            float f[CHUNK];
        } wide;
#define WIDEN(ctype, field)                \
    for (npy_intp i = 0; i < k; i++) {     \
        ctype x;                           \
        memcpy(&x, in + i * si, sizeof x); \
        wide.field[i] = x;                 \
    }                                      \
    break
        switch (type) {
        case NPY_BOOL: WIDEN(npy_bool, i);
        case NPY_BYTE: WIDEN(npy_byte, i);
        case NPY_SHORT: WIDEN(npy_short, i);
        case NPY_INT: WIDEN(npy_int, i);
        case NPY_LONG: WIDEN(npy_long, i);
        case NPY_LONGLONG: WIDEN(npy_longlong, i);
        case NPY_UBYTE: WIDEN(npy_ubyte, u);
        case NPY_USHORT: WIDEN(npy_ushort, u);
        case NPY_UINT: WIDEN(npy_uint, u);
        case NPY_ULONG: WIDEN(npy_ulong, u);
        case NPY_ULONGLONG: WIDEN(npy_ulonglong, u);
        default:
            for (npy_intp i = 0; i < k; i++) {
                npy_half x;
                memcpy(&x, in + i * si, sizeof x);
                wide.f[i] = npy_half_to_float(x);
            }
        }
#undef WIDEN
        if (type == NPY_HALF) bp_encode_f32(s, (size_t)k, wide.f, 4, out, so);
        else if (PyTypeNum_ISUNSIGNED(type)) bp_encode_u64(s, (size_t)k, wide.u, 8, out, so);
        else bp_encode_i64(s, (size_t)k, wide.i, 8, out, so);
        in += k * si, out += k * so, n -= k;
    }
    return 0;
}

/* ---- posit to numbers ---- */
static NPY_CASTING resolve_from(struct PyArrayMethodObject_tag *m, PyArray_DTypeMeta *const *dt,
                                PyArray_Descr *const *given, PyArray_Descr **loop,
                                npy_intp *view_offset) {
    (void)m, (void)view_offset;
    bp_spec s = bp_spec_of(given[0]);
    loop[1] = given[1] ? PyArray_DescrNewByteorder(given[1], NPY_NATIVE)
                       : PyArray_DescrFromType(dt[1]->type_num);
    if (loop[1] == NULL) return (NPY_CASTING)-1;
    loop[0] = (PyArray_Descr *)Py_NewRef((PyObject *)given[0]);
    int type = loop[1]->type_num;
    if (PyTypeNum_ISINTEGER(type) || type == NPY_BOOL) return NPY_UNSAFE_CASTING;
    int wide = type != NPY_HALF && type != NPY_FLOAT && type != NPY_CFLOAT;
    return wide && s.n && bp_fits_f64(s) ? NPY_SAFE_CASTING : NPY_SAME_KIND_CASTING;
}

/* Truncated towards zero; saturating, with `bad` set where it does, and for NaR (which gives 0). */
static uint64_t truncated(int64_t p, bp_spec s, uint64_t limit_pos, uint64_t limit_neg, int *bad) {
    bp_num64 u = bp_unpack64(bp_body64(p), s);
    if (p == bp_nar(s)) return *bad = 1, 0;
    if (u.sig == 0 || u.scale < 0) return 0;
    uint64_t limit = p < 0 ? limit_neg : limit_pos;
    uint64_t mag = u.scale > 63 ? UINT64_MAX : u.sig >> (63 - u.scale);
    if (u.scale > 63 || mag > limit) *bad = 1, mag = limit;
    return p < 0 ? 0 - mag : mag;
}

static int from_loop(PyArrayMethod_Context *c, char *const *data, const npy_intp *dims,
                     const npy_intp *strides, NpyAuxData *aux) {
    (void)aux;
    const bp_spec s = bp_spec_of(c->descriptors[0]);
    const int type = c->descriptors[1]->type_num;
    const char *in = data[0];
    char *out = data[1];
    npy_intp si = strides[0], so = strides[1], n = dims[0];
    int bad = 0;
    if (s.n == 0) return bp_no_format();
    if (bp_check(s, n, in, si) < 0) return -1;
    if (type == NPY_FLOAT) return bp_decode_f32(s, (size_t)n, in, si, out, so), 0;
    if (type == NPY_DOUBLE) return bp_decode_f64(s, (size_t)n, in, si, out, so, 0), 0;
    if (type == NPY_CFLOAT || type == NPY_CDOUBLE || type == NPY_CLONGDOUBLE) {
        npy_intp half = c->descriptors[1]->elsize / 2;
        for (npy_intp i = 0; i < n; i++) memset(out + i * so + half, 0, (size_t)half);
        if (type == NPY_CFLOAT) return bp_decode_f32(s, (size_t)n, in, si, out, so), 0;
        if (type == NPY_CDOUBLE) return bp_decode_f64(s, (size_t)n, in, si, out, so, 0), 0;
    }
    for (npy_intp i = 0; i < n; i++, in += si, out += so) {
        int64_t p = bp_get(in, s);
        if (type == NPY_BOOL) {
            *out = p != 0;
        } else if (type == NPY_HALF) { /* rounded to odd, then to nearest: one rounding */
            npy_half h = npy_double_to_half(bp_decode64_f64(p, s, 1));
            memcpy(out, &h, sizeof h);
        } else if (type == NPY_LONGDOUBLE || type == NPY_CLONGDOUBLE) {
            bp_num64 u = bp_unpack64(bp_body64(p), s); /* at most 62 bits: exact */
            npy_longdouble x = ldexpl((npy_longdouble)u.sig, (int)u.scale - 63);
            if (p == bp_nar(s)) x = NPY_NAN;
            x = p < 0 ? -x : x;
            memcpy(out, &x, sizeof x);
        } else {
            int size = (int)c->descriptors[1]->elsize;
            uint64_t all = size == 8 ? UINT64_MAX : ((uint64_t)1 << (8 * size)) - 1;
            int is_unsigned = PyTypeNum_ISUNSIGNED(type);
            uint64_t v = is_unsigned ? truncated(p, s, all, 0, &bad)
                                     : truncated(p, s, all >> 1, (all >> 1) + 1, &bad);
            memcpy(out, &v, (size_t)size); /* little-endian, as every supported machine is */
        }
    }
    if (bad) feraiseexcept(FE_INVALID);
    return 0;
}

/* ---- raw bytes: refused, because NumPy's own way of reading them crashes ---- */
static NPY_CASTING resolve_void(struct PyArrayMethodObject_tag *m, PyArray_DTypeMeta *const *dt,
                                PyArray_Descr *const *given, PyArray_Descr **loop,
                                npy_intp *view_offset) {
    (void)m, (void)dt, (void)loop, (void)view_offset;
    PyErr_Format(PyExc_TypeError,
                 "cannot cast %S to a posit: choose a field, x['name'], or reinterpret the bytes, "
                 "x.view(posit.dtype(...))",
                 given[0]);
    return (NPY_CASTING)-1;
}
static int void_loop(PyArrayMethod_Context *c, char *const *data, const npy_intp *dims,
                     const npy_intp *strides, NpyAuxData *aux) {
    (void)c, (void)data, (void)dims, (void)strides, (void)aux;
    return -1;
}

/* ---- the table ---- */

/* Which loop, and what it needs. A cast that may raise keeps the GIL: NumPy does not take it back
 * before it leaves an iterator whose first cast has failed. */
static int get_loop(PyArrayMethod_Context *c, int aligned, int move_references,
                    const npy_intp *strides, PyArrayMethod_StridedLoop **loop, NpyAuxData **aux,
                    NPY_ARRAYMETHOD_FLAGS *flags) {
    (void)aligned, (void)move_references, (void)strides;
    PyArray_Descr *from = c->descriptors[0], *to = c->descriptors[1];
    int type = to->type_num, may_raise = PyTypeNum_ISCOMPLEX(from->type_num);
    int warns = PyTypeNum_ISINTEGER(type);
    for (int i = 0; i < 2; i++) {
        if (!bp_is_posit(c->descriptors[i])) continue;
        bp_spec s = bp_spec_of(c->descriptors[i]);
        may_raise |= s.n != 8 * bp_bytes(s);
    }
    *loop = !bp_is_posit(from) ? into_loop : bp_is_posit(to) ? posit_loop : from_loop;
    *aux = NULL;
    *flags = (NPY_ARRAYMETHOD_FLAGS)((may_raise ? NPY_METH_REQUIRES_PYAPI : 0) |
                                     (warns ? 0 : NPY_METH_NO_FLOATINGPOINT_ERRORS));
    return 0;
}

enum { MAX_CASTS = 48 };
static PyArrayMethod_Spec specs[MAX_CASTS], *list[MAX_CASTS + 1];
static PyArray_DTypeMeta *pairs[MAX_CASTS][2];
static PyType_Slot cast_slots[MAX_CASTS][4];
static int count;

/* Casts of text have a loop of their own, which is Python throughout. */
static void add(const char *name, PyArray_DTypeMeta *from, PyArray_DTypeMeta *to,
                NPY_CASTING casting, void *resolve, void *text_loop) {
    pairs[count][0] = from, pairs[count][1] = to;
    PyType_Slot *s = cast_slots[count];
    s[0] = (PyType_Slot){NPY_METH_resolve_descriptors, resolve};
    s[1] = text_loop ? (PyType_Slot){NPY_METH_strided_loop, text_loop}
                     : (PyType_Slot){NPY_METH_get_loop, get_loop};
    s[2] = text_loop ? (PyType_Slot){NPY_METH_unaligned_strided_loop, text_loop}
                     : (PyType_Slot){0, NULL};
    s[3] = (PyType_Slot){0, NULL};
    specs[count] = (PyArrayMethod_Spec){
        .name = name,
        .nin = 1,
        .nout = 1,
        .casting = casting,
        .flags = NPY_METH_SUPPORTS_UNALIGNED | (text_loop ? NPY_METH_REQUIRES_PYAPI : 0),
        .dtypes = pairs[count],
        .slots = s,
    };
    list[count] = &specs[count];
    count++;
}

PyArrayMethod_Spec **bp_casts(void) {
    static const int types[] = {
        NPY_BOOL,  NPY_BYTE,   NPY_UBYTE,      NPY_SHORT,    NPY_USHORT,    NPY_INT,
        NPY_UINT,  NPY_LONG,   NPY_ULONG,      NPY_LONGLONG, NPY_ULONGLONG, NPY_HALF,
        NPY_FLOAT, NPY_DOUBLE, NPY_LONGDOUBLE, NPY_CFLOAT,   NPY_CDOUBLE,   NPY_CLONGDOUBLE,
    };
    count = 0;
    add("posit_to_posit", NULL, NULL, NPY_SAME_KIND_CASTING, resolve_posit, NULL);
    for (size_t i = 0; i < sizeof types / sizeof *types; i++) {
        PyArray_Descr *d = PyArray_DescrFromType(types[i]);
        PyArray_DTypeMeta *other = NPY_DTYPE(d);
        NPY_CASTING in = PyTypeNum_ISCOMPLEX(types[i]) ? NPY_UNSAFE_CASTING : NPY_SAME_KIND_CASTING;
        int exact = PyTypeNum_ISFLOAT(types[i]) || PyTypeNum_ISCOMPLEX(types[i]);
        NPY_CASTING out = exact ? NPY_SAME_KIND_CASTING : NPY_UNSAFE_CASTING;
        add("number_to_posit", other, NULL, in, resolve_into, NULL);
        add("posit_to_number", NULL, other, out, resolve_from, NULL);
        Py_DECREF(d);
    }
    PyArray_Descr *raw = PyArray_DescrFromType(NPY_VOID);
    add("void_to_posit", NPY_DTYPE(raw), NULL, NPY_UNSAFE_CASTING, resolve_void, void_loop);
    Py_DECREF(raw);
    PyArray_DTypeMeta *texts[] = {&PyArray_UnicodeDType, &PyArray_BytesDType, &PyArray_StringDType};
    for (size_t i = 0; i < sizeof texts / sizeof *texts; i++) {
        add("posit_to_text", NULL, texts[i], NPY_UNSAFE_CASTING, bp_resolve_to_text, bp_to_text);
        add("text_to_posit", texts[i], NULL, NPY_UNSAFE_CASTING, bp_resolve_from_text,
            bp_from_text);
    }
    list[count] = NULL;
    return list;
}
