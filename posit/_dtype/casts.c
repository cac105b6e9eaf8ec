/* Casts between posits and every numeric type of NumPy, text, and other posits. */
#include "dtype.h"

#include <fenv.h>
#include <numpy/halffloat.h>

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
static int move_loop(PyArrayMethod_Context *c, char *const *data, const npy_intp *dims,
                     const npy_intp *strides, NpyAuxData *aux) {
    (void)aux;
    bp_move(data[1], strides[1], data[0], strides[0], dims[0], c->descriptors[0]->elsize);
    return 0;
}
static int number_loop(bp_spec s, char *const *data, npy_intp n, const npy_intp *strides) {
    for (npy_intp i = 0; i < n; i++) {
        if (i > 0 && strides[0] == 0) { /* one number for a whole array */
            bp_move(data[1] + strides[1], strides[1], data[1], 0, n - 1, bp_bytes(s));
            break;
        }
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

/* Integers as float64; 0 where one may not be exact: those of at least 2^53. */
BP_CLONES static int widen(int is_unsigned, int size, size_t n, const void *x, double *to) {
    const uint64_t exact = (uint64_t)1 << 53;
    uint64_t all = 0;
#define WIDEN(type)                                                       \
    for (size_t i = 0; i < n; i++) {                                      \
        to[i] = (double)((const type *)x)[i];                             \
        if (sizeof(type) == 8) all |= bp_body64(((const int64_t *)x)[i]); \
    }                                                                     \
    break
    switch (is_unsigned ? -size : size) {
    case 1: WIDEN(int8_t);
    case 2: WIDEN(int16_t);
    case 4: WIDEN(int32_t);
    case 8: WIDEN(int64_t);
    case -1: WIDEN(uint8_t);
    case -2: WIDEN(uint16_t);
    case -4: WIDEN(uint32_t);
    default: WIDEN(uint64_t);
    }
#undef WIDEN
    return all < exact;
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
    const int size = (int)c->descriptors[0]->elsize;
    const int is_unsigned = type == NPY_BOOL || PyTypeNum_ISUNSIGNED(type);
    for (bp_buffer rx, wide; n > 0;) { /* blocks of float64, which holds all but large integers */
        npy_intp k = n < BP_BLOCK ? n : BP_BLOCK;
        const void *x = bp_gather(in, si, 0, (size_t)k, size, &rx);
        int fits = 1;
        if (type == NPY_HALF)
            for (npy_intp i = 0; i < k; i++)
                ((double *)&wide)[i] = npy_half_to_double(((const npy_half *)x)[i]);
        else fits = widen(is_unsigned, size, (size_t)k, x, (double *)&wide);
        if (fits) bp_encode_f64(s, (size_t)k, &wide, 8, out, so);
        else if (is_unsigned) bp_encode_u64(s, (size_t)k, x, 8, out, so);
        else bp_encode_i64(s, (size_t)k, x, 8, out, so);
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

/* Truncated towards zero; saturating, and 0 for NaR. Returns whether either happened. */
BP_INLINE uint64_t truncate_block(const bp_spec s, size_t n, const void *x, uint64_t most,
                                  uint64_t least, uint64_t *to) {
    const int64_t nar = bp_nar(s);
    const int size = bp_size(s);
    uint64_t bad = 0;
    for (size_t i = 0; i < n; i++) { /* in lanes of 64 bits without branches, to vectorise */
        int64_t p = bp_load(x, i, size);
        uint64_t sign = bp_sign64(p), limit = sign ? least : most;
        bp_num64 u = bp_unpack64(bp_body64(p), s);
        int64_t scale = u.sig ? u.scale : -1;
        uint64_t shifted = u.sig >> ((63 - scale) & 63);
        uint64_t whole = scale < 0 ? 0 : shifted, kept = whole > limit ? limit : whole;
        uint64_t mag = scale > 63 ? limit : kept;
        uint64_t lost = scale > 63 ? 1 : whole ^ kept;
        bad |= p == nar ? 1 : lost;
        to[i] = (mag ^ sign) - sign;
    }
    return bad;
}
BP_CLONES static int truncate_all(bp_spec s, size_t n, const void *x, uint64_t most, uint64_t least,
                                  uint64_t *to) {
    uint64_t bad = 0;
    BP_WITH_SPEC(s, bad = truncate_block(S, n, x, most, least, to));
    return bad != 0;
}
BP_CLONES static void narrow(int size, size_t n, const uint64_t *x, void *to) {
#define NARROW(type)                                             \
    for (size_t i = 0; i < n; i++) ((type *)to)[i] = (type)x[i]; \
    break
    switch (size) {
    case 1: NARROW(uint8_t);
    case 2: NARROW(uint16_t);
    case 4: NARROW(uint32_t);
    default: NARROW(uint64_t);
    }
#undef NARROW
}
static void to_integers(bp_spec s, npy_intp count, const char *in, npy_intp si, char *out,
                        npy_intp so, int size, int is_unsigned) {
    const uint64_t all = ~(uint64_t)0 >> (64 - 8 * size);
    const uint64_t most = is_unsigned ? all : all >> 1, least = is_unsigned ? 0 : most + 1;
    bp_buffer rx, whole, ro;
    int bad = 0;
    for (size_t i = 0; i < (size_t)count; i += BP_BLOCK) {
        size_t n = bp_step((size_t)count, i);
        const void *x = bp_gather(in, si, i, n, bp_size(s), &rx);
        void *to = bp_target(out, so, i, size, &ro);
        bad |= truncate_all(s, n, x, most, least, (uint64_t *)&whole);
        narrow(size, n, (const uint64_t *)&whole, to);
        bp_scatter(out, so, i, n, size, to);
    }
    if (bad) feraiseexcept(FE_INVALID);
}
/* Rounded to odd, then to nearest: one rounding. */
static void to_halves(bp_spec s, npy_intp count, const char *in, npy_intp si, char *out,
                      npy_intp so) {
    for (npy_intp i = 0; i < count; i += BP_BLOCK) {
        double wide[BP_BLOCK];
        size_t n = bp_step((size_t)count, (size_t)i);
        bp_decode_f64(s, n, in + i * si, si, wide, sizeof *wide, 1);
        for (size_t k = 0; k < n; k++) {
            npy_half h = npy_double_to_half(wide[k]);
            memcpy(out + (i + (npy_intp)k) * so, &h, sizeof h);
        }
    }
}

static int from_loop(PyArrayMethod_Context *c, char *const *data, const npy_intp *dims,
                     const npy_intp *strides, NpyAuxData *aux) {
    const bp_spec s = bp_spec_of(c->descriptors[0]);
    const int type = c->descriptors[1]->type_num;
    const char *in = data[0];
    char *out = data[1];
    npy_intp si = strides[0], so = strides[1], n = dims[0];
    if (s.n == 0) return bp_no_format();
    if (bp_check(s, n, in, si) < 0) return -1;
    if (type == NPY_BOOL) return bp_loop_nonzero(c, data, dims, strides, aux);
    if (type == NPY_FLOAT) return bp_decode_f32(s, (size_t)n, in, si, out, so), 0;
    if (type == NPY_DOUBLE) return bp_decode_f64(s, (size_t)n, in, si, out, so, 0), 0;
    if (type == NPY_CFLOAT || type == NPY_CDOUBLE || type == NPY_CLONGDOUBLE) {
        npy_intp half = c->descriptors[1]->elsize / 2;
        for (npy_intp i = 0; i < n; i++) memset(out + i * so + half, 0, (size_t)half);
        if (type == NPY_CFLOAT) return bp_decode_f32(s, (size_t)n, in, si, out, so), 0;
        if (type == NPY_CDOUBLE) return bp_decode_f64(s, (size_t)n, in, si, out, so, 0), 0;
    }
    if (type == NPY_HALF) return to_halves(s, n, in, si, out, so), 0;
    if (PyTypeNum_ISINTEGER(type)) {
        int size = (int)c->descriptors[1]->elsize;
        return to_integers(s, n, in, si, out, so, size, PyTypeNum_ISUNSIGNED(type)), 0;
    }
    for (npy_intp i = 0; i < n; i++) { /* long double: a posit has at most 62 bits */
        int64_t p = bp_get(in + i * si, s);
        bp_num64 u = bp_unpack64(bp_body64(p), s);
        npy_longdouble x = ldexpl((npy_longdouble)u.sig, (int)u.scale - 63);
        if (p == bp_nar(s)) x = NPY_NAN;
        x = p < 0 ? -x : x;
        memcpy(out + i * so, &x, sizeof x);
    }
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
    if (*loop == posit_loop && same_spec(bp_spec_of(from), bp_spec_of(to)))
        *loop = move_loop, may_raise = 0;
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
