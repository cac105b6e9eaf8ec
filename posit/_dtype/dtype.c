/* The DType itself: instances, promotion, elements from and to Python, and the module. */
#define BPOSIT_IMPORTS_NUMPY
#include "dtype.h"

bp_helpers bp_python;

PositDescr *bp_new_descr(PyObject *spec) {
    static PositDescr *some_posit = NULL; /* of n = 0: one for all, made by setup() */
    int32_t values[3] = {0, 0, 0};
    if (spec == NULL && some_posit) return (PositDescr *)Py_NewRef((PyObject *)some_posit);
    static const char *names[] = {"n", "rs", "es"};
    for (int i = 0; spec && i < 3; i++) {
        PyObject *v = PyObject_GetAttrString(spec, names[i]);
        if (v == NULL) return NULL;
        values[i] = (int32_t)PyLong_AsLong(v);
        Py_DECREF(v);
        if (PyErr_Occurred()) return NULL;
    }
    PositDescr *d = (PositDescr *)PyArrayDescr_Type.tp_new((PyTypeObject *)&PositDType, NULL, NULL);
    if (d == NULL) return NULL;
    d->spec = (bp_spec){values[0], values[1], values[2]};
    d->object = Py_XNewRef(spec);
    d->base.elsize = spec ? bp_bytes(d->spec) : (int)sizeof(bp_number);
    d->base.alignment = spec ? bp_bytes(d->spec) : (int)_Alignof(bp_number);
    d->base.kind = 'V';
    d->base.type = 'X'; /* no type of NumPy's: functions that keep only the letter fail */
    d->base.byteorder = '|';
    if (spec && d->spec.n != 8 * d->base.elsize) d->base.flags |= NPY_NEEDS_INIT; /* no garbage */
    if (spec == NULL) some_posit = (PositDescr *)Py_NewRef((PyObject *)d);
    return d;
}

static PyArray_Descr *ensure_canonical(PyArray_Descr *d) {
    Py_INCREF(d);
    return d;
}

/* Formats of one <rs,es> family widen; others must be converted on purpose. */
PositDescr *bp_common(PositDescr *a, PositDescr *b) {
    if (a->spec.n == 0) return (PositDescr *)Py_NewRef((PyObject *)b);
    if (b->spec.n == 0) return (PositDescr *)Py_NewRef((PyObject *)a);
    int same_family = a->spec.rs == b->spec.rs && a->spec.es == b->spec.es;
    if (!same_family) {
        PyErr_Format(PyExc_TypeError,
                     "cannot mix posits of %S and %S: only widening within one <rs,es> family is "
                     "implicit; convert one with .astype(posit.dtype(...))",
                     a->object, b->object);
        return NULL;
    }
    return (PositDescr *)Py_NewRef((PyObject *)(a->spec.n >= b->spec.n ? a : b));
}

/* The one format of all posits among the descriptors given. */
PositDescr *bp_common_of(int n, PyArray_Descr *const *given) {
    PositDescr *common = NULL;
    for (int i = 0; i < n; i++) {
        if (given[i] == NULL || !bp_is_posit(given[i])) continue;
        PositDescr *d = (PositDescr *)given[i];
        PositDescr *both = common ? bp_common(common, d) : (PositDescr *)Py_NewRef((PyObject *)d);
        Py_XDECREF(common);
        if (both == NULL) return NULL;
        common = both;
    }
    if (common && common->spec.n == 0) {
        Py_DECREF(common);
        PyErr_SetString(PyExc_TypeError, "no operand says which posit format is meant");
        return NULL;
    }
    return common;
}

int bp_no_format(void) {
    NPY_ALLOW_C_API_DEF
    NPY_ALLOW_C_API
    PyErr_SetString(PyExc_TypeError,
                    "a posit array needs a format: give dtype=posit.dtype(n, rs, es)");
    NPY_DISABLE_C_API
    return -1;
}

BP_INLINE int none_beyond(const int size, bp_spec s, size_t count, const char *p, npy_intp stride) {
    const int64_t low = bp_nar(s);
    bp_buffer room;
    for (size_t i = 0; i < count; i += BP_BLOCK) {
        size_t n = bp_step(count, i);
        const void *x = bp_gather(p, stride, i, n, size, &room);
        int beyond = 0;
        for (size_t k = 0; k < n; k++)
            beyond |= bp_load(x, k, size) < low || bp_load(x, k, size) >= -low;
        if (beyond) return 0;
    }
    return 1;
}
BP_CLONES static int all_patterns(bp_spec s, size_t n, const char *p, npy_intp stride) {
    BY_SIZE(s, return none_beyond(SIZE, s, n, p, stride))
}

int bp_check(bp_spec s, npy_intp n, const char *p, npy_intp stride) {
    if (s.n == 8 * bp_bytes(s) || all_patterns(s, (size_t)n, p, stride)) return 0;
    const int64_t low = bp_nar(s);
    for (npy_intp i = 0; i < n; i++) {
        int64_t x = bp_get(p + i * stride, s);
        if (x >= low && x < -low) continue;
        NPY_ALLOW_C_API_DEF
        NPY_ALLOW_C_API
        PyErr_Format(PyExc_ValueError,
                     "pattern %lld is out of range for <%d,%d,%d>: signed patterns run from "
                     "%lld to %lld",
                     (long long)x, s.n, s.rs, s.es, (long long)low, (long long)(-low - 1));
        NPY_DISABLE_C_API
        return -1;
    }
    return 0;
}

static PyArray_DTypeMeta *common_dtype(PyArray_DTypeMeta *cls, PyArray_DTypeMeta *other) {
    if (other == &PyArray_PyLongDType || other == &PyArray_PyFloatDType ||
        other->type_num == NPY_BOOL ||
        (other->type_num >= 0 && PyTypeNum_ISINTEGER(other->type_num)))
        return NPY_DT_NewRef(cls);
    if (other == &PyArray_PyComplexDType ||
        (other->type_num >= 0 && PyTypeNum_ISNUMBER(other->type_num))) {
        PyErr_Format(PyExc_TypeError,
                     "posits and %s arrays do not mix implicitly: write x.astype(posit.dtype(...)) "
                     "to round the other operand, or a.astype(float) to leave posits",
                     ((PyTypeObject *)other)->tp_name);
        return NULL;
    }
    Py_INCREF(Py_NotImplemented);
    return (PyArray_DTypeMeta *)Py_NotImplemented;
}

static PyArray_Descr *default_descr(PyArray_DTypeMeta *cls) {
    (void)cls;
    return (PyArray_Descr *)bp_new_descr(NULL);
}

static PyArray_Descr *discover(PyArray_DTypeMeta *cls, PyObject *value) {
    (void)cls;
    int is_posit = PyObject_IsInstance(value, bp_python.scalar);
    if (is_posit < 0) return NULL;
    if (!is_posit) return (PyArray_Descr *)bp_new_descr(NULL);
    PyObject *spec = PyObject_GetAttrString(value, "spec");
    PositDescr *d = spec ? bp_new_descr(spec) : NULL;
    Py_XDECREF(spec);
    return (PyArray_Descr *)d;
}

static bp_number number_of(double v) {
    int exponent = 0;
    uint64_t sig = isfinite(v) ? (uint64_t)ldexp(frexp(fabs(v), &exponent), 64) : 0;
    int32_t kind = !isfinite(v) ? BP_NOT_REAL : v < 0 ? BP_NEGATIVE : BP_POSITIVE;
    return (bp_number){sig, exponent - 1, kind};
}
static int set_number(PyObject *value, char *p) {
    bp_number x = {0, 0, 0};
    int beyond = 0;
    int64_t whole = PyLong_CheckExact(value) ? PyLong_AsLongLongAndOverflow(value, &beyond) : 0;
    const int64_t exact = (int64_t)1 << 53;
    if (PyFloat_CheckExact(value) ||
        (PyLong_CheckExact(value) && !beyond && whole < exact && whole > -exact)) {
        x = number_of(PyFloat_CheckExact(value) ? PyFloat_AS_DOUBLE(value) : (double)whole);
        memcpy(p, &x, sizeof x);
        return 0;
    }
    PyObject *made = PyObject_CallOneArg(bp_python.to_number, value);
    unsigned long long sig;
    int ok = made && PyArg_ParseTuple(made, "Kii", &sig, &x.scale, &x.kind);
    Py_XDECREF(made);
    if (!ok) return -1;
    x.sig = sig;
    memcpy(p, &x, sizeof x);
    return 0;
}

int bp_setitem(PositDescr *d, PyObject *value, char *p) {
    bp_spec s = d->spec;
    int64_t bits = 0;
    if (s.n == 0) return set_number(value, p);
    int beyond = 0;
    int64_t whole = PyLong_CheckExact(value) ? PyLong_AsLongLongAndOverflow(value, &beyond) : 0;
    if (PyFloat_CheckExact(value)) {
        bits = bp_encode64_f64(PyFloat_AS_DOUBLE(value), s);
    } else if (PyLong_CheckExact(value) && !beyond) {
        bp_encode_i64(s, 1, &whole, 0, p, 0);
        return 0;
    } else {
        PyObject *made = PyObject_CallFunctionObjArgs(bp_python.to_bits, value, d->object, NULL);
        if (made == NULL) return -1;
        bits = PyLong_AsLongLong(made);
        Py_DECREF(made);
        if (bits == -1 && PyErr_Occurred()) return -1;
    }
    bp_put(p, s, bits);
    return 0;
}

PyObject *bp_getitem(PositDescr *d, char *p) {
    if (d->spec.n == 0) return bp_no_format(), NULL;
    return PyObject_CallFunction(bp_python.from_bits, "LO", (long long)bp_get(p, d->spec),
                                 d->object);
}

static PyType_Slot slots[] = {
    {NPY_DT_ensure_canonical, ensure_canonical},
    {NPY_DT_common_instance, bp_common},
    {NPY_DT_common_dtype, common_dtype},
    {NPY_DT_default_descr, default_descr},
    {NPY_DT_discover_descr_from_pyobject, discover},
    {NPY_DT_setitem, bp_setitem},
    {NPY_DT_getitem, bp_getitem},
    {NPY_DT_PyArray_ArrFuncs_compare, bp_compare},
    {NPY_DT_PyArray_ArrFuncs_argmax, bp_argmax},
    {NPY_DT_PyArray_ArrFuncs_argmin, bp_argmin},
    {NPY_DT_PyArray_ArrFuncs_nonzero, bp_nonzero},
    {NPY_DT_PyArray_ArrFuncs_fill, bp_fill},
    {NPY_DT_PyArray_ArrFuncs_fillwithscalar, bp_fill_scalar},
    {NPY_DT_PyArray_ArrFuncs_sort, bp_sort},
    {NPY_DT_PyArray_ArrFuncs_argsort, bp_argsort},
    {NPY_DT_PyArray_ArrFuncs_fromstr, bp_fromstr},
    /* copyswapn, copyswap: without them byteswap and place crash. Their slots, 3 and 4, have no
     * public name in NumPy 2, but are filled as the others are. */
    {3 + _NPY_DT_ARRFUNCS_OFFSET, bp_copyswapn},
    {4 + _NPY_DT_ARRFUNCS_OFFSET, bp_copyswap},
    {0, NULL}, /* get_constant, where NumPy knows it */
    {0, NULL},
};

static PyObject *descr_new(PyTypeObject *cls, PyObject *args, PyObject *kwds) {
    (void)cls;
    PyObject *spec = NULL;
    static char *names[] = {"spec", NULL};
    PyTypeObject *type = (PyTypeObject *)bp_python.spec;
    if (!PyArg_ParseTupleAndKeywords(args, kwds, "O!", names, type, &spec)) return NULL;
    return (PyObject *)bp_new_descr(spec);
}

static void descr_dealloc(PositDescr *d) {
    Py_CLEAR(d->object);
    PyArrayDescr_Type.tp_dealloc((PyObject *)d);
}

static PyObject *descr_repr(PositDescr *d) {
    if (d->spec.n == 0) return PyUnicode_FromString("posit.dtype(?)");
    return PyUnicode_FromFormat("posit.dtype(%d, %d, %d)", d->spec.n, d->spec.rs, d->spec.es);
}

static Py_hash_t descr_hash(PositDescr *d) {
    return ((Py_hash_t)d->spec.n << 20) ^ (d->spec.rs << 10) ^ d->spec.es ^ 0x705174;
}

static PyObject *descr_spec(PositDescr *d, void *closure) {
    (void)closure;
    return Py_NewRef(d->object ? d->object : Py_None);
}
static PyObject *descr_name(PositDescr *d, void *closure) {
    (void)closure;
    return d->object ? PyObject_GetAttrString(d->object, "name") : PyUnicode_FromString("posit");
}
/* What np.dtype(...) reads back, as NumPy takes for granted in array interfaces and files of
 * records. Not posit16: other packages register dtypes of their own by such names. */
static PyObject *descr_str(PositDescr *d) {
    return PyUnicode_FromFormat("n%d_rs%d_es%d", d->spec.n, d->spec.rs, d->spec.es);
}
static PyGetSetDef getset[] = {
    {"spec", (getter)descr_spec, NULL, "The posit.PositSpec of this dtype.", NULL},
    {"name", (getter)descr_name, NULL, "Registered name of the format.", NULL},
    {NULL, NULL, NULL, NULL, NULL},
};

static PyObject *descr_reduce(PositDescr *d, PyObject *unused) {
    (void)unused;
    PyObject *module = PyImport_ImportModule("posit");
    PyObject *make = module ? PyObject_GetAttrString(module, "dtype") : NULL;
    Py_XDECREF(module);
    return make ? Py_BuildValue("N(iii)", make, d->spec.n, d->spec.rs, d->spec.es) : NULL;
}
static PyObject *descr_newbyteorder(PyObject *d, PyObject *order) {
    (void)order; /* patterns are always native */
    return Py_NewRef(d);
}
static PyMethodDef methods[] = {
    {"__reduce__", (PyCFunction)descr_reduce, METH_NOARGS, NULL},
    {"newbyteorder", (PyCFunction)descr_newbyteorder, METH_VARARGS, NULL},
    {NULL, NULL, 0, NULL},
};

PyArray_DTypeMeta PositDType = {{{
    PyVarObject_HEAD_INIT(NULL, 0).tp_name = "posit.PositDType",
    .tp_basicsize = sizeof(PositDescr),
    .tp_new = descr_new,
    .tp_dealloc = (destructor)descr_dealloc,
    .tp_repr = (reprfunc)descr_repr,
    .tp_str = (reprfunc)descr_str,
    .tp_hash = (hashfunc)descr_hash,
    .tp_getset = getset,
    .tp_methods = methods,
    .tp_doc = "A NumPy dtype of posits; made by posit.dtype(n, rs, es).",
}}};

/* Slots take one function for all kinds of sort. Equal patterns cannot be told apart, so that only
 * argsort has to be stable. */
static int fill_sorts(void) {
    PyArray_Descr *any = (PyArray_Descr *)bp_new_descr(NULL);
    if (any == NULL) return -1;
    PyArray_ArrFuncs *f = PyDataType_GetArrFuncs(any);
    for (int kind = 0; kind < NPY_NSORTS; kind++) {
        f->sort[kind] = bp_sort;
        f->argsort[kind] = kind == NPY_STABLESORT ? bp_argsort_stable : bp_argsort;
    }
    Py_DECREF(any);
    return 0;
}

static PyObject *setup(PyObject *module, PyObject *args) {
    bp_helpers *h = &bp_python;
    if (!PyArg_ParseTuple(args, "O!OOOOOO", &PyType_Type, &h->spec, &h->scalar, &h->from_bits,
                          &h->to_bits, &h->to_number, &h->to_text, &h->function))
        return NULL;
    Py_INCREF(args); /* and with it the helpers */
    PyArrayMethod_Spec **casts = bp_casts();
    if (casts == NULL) return NULL;
    PyArrayDTypeMeta_Spec spec = {
        .flags = NPY_DT_PARAMETRIC | NPY_DT_NUMERIC,
        .casts = casts,
        .typeobj = (PyTypeObject *)bp_python.scalar,
        .slots = slots,
    };
    /* NumPy 2.4 added a slot and moved those of functions on arrays. */
#ifdef NPY_DT_get_constant
    if (PyArray_GetNDArrayCFeatureVersion() >= NPY_2_4_API_VERSION)
        slots[sizeof slots / sizeof *slots - 2] = (PyType_Slot){NPY_DT_get_constant, bp_constant};
    else
        for (PyType_Slot *s = slots; s->slot; s++)
            if (s->slot > _NPY_DT_ARRFUNCS_OFFSET) s->slot -= _NPY_DT_ARRFUNCS_OFFSET - (1 << 10);
#endif
    ((PyObject *)&PositDType)->ob_type = &PyArrayDTypeMeta_Type;
    ((PyTypeObject *)&PositDType)->tp_base = &PyArrayDescr_Type;
    /* not inherited where tp_hash is given: formats made apart would not be equal */
    ((PyTypeObject *)&PositDType)->tp_richcompare = PyArrayDescr_Type.tp_richcompare;
    if (PyType_Ready((PyTypeObject *)&PositDType) < 0) return NULL;
    if (PyArrayInitDTypeMeta_FromSpec(&PositDType, &spec) < 0) return NULL;
    if (fill_sorts() < 0) return NULL;
    if (bp_register_ufuncs() < 0 || bp_register_reductions() < 0) return NULL;
    if (PyModule_AddObjectRef(module, "PositDType", (PyObject *)&PositDType) < 0) return NULL;
    Py_RETURN_NONE;
}

static PyMethodDef functions[] = {
    {"setup", setup, METH_VARARGS, "Register the dtype; called once by posit._dtype."},
    {"set_product", bp_set_product, METH_O, "Let f(spec, a, b, out) multiply large matrices."},
    {NULL, NULL, 0, NULL},
};
static struct PyModuleDef definition = {
    PyModuleDef_HEAD_INIT, "posit._dtype._ext", NULL, -1, functions, NULL, NULL, NULL, NULL,
};

PyMODINIT_FUNC PyInit__ext(void) {
    import_array();
    import_umath();
    return PyModule_Create(&definition);
}
