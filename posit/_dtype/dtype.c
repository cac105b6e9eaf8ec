/* The DType itself: instances, promotion, elements from and to Python, and the module. */
#define BPOSIT_IMPORTS_NUMPY
#include "dtype.h"

bp_helpers bp_python;

PositDescr *bp_new_descr(PyObject *spec) {
    int32_t values[3] = {0, 0, 0};
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
    d->base.type = 'p';
    d->base.byteorder = '|';
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
    if (!PyObject_IsInstance(value, bp_python.scalar)) return (PyArray_Descr *)bp_new_descr(NULL);
    PyObject *spec = PyObject_GetAttrString(value, "spec");
    PositDescr *d = spec ? bp_new_descr(spec) : NULL;
    Py_XDECREF(spec);
    return (PyArray_Descr *)d;
}

static int set_number(PyObject *value, char *p) {
    bp_number x = {0, 0, 0};
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
    if (PyFloat_CheckExact(value)) {
        bits = bp_encode64_f64(PyFloat_AS_DOUBLE(value), s);
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
    if (d->spec.n == 0) {
        PyErr_SetString(PyExc_TypeError,
                        "a posit array needs a format: give dtype=posit.dtype(n, rs, es)");
        return NULL;
    }
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
    if (PyTuple_GET_SIZE(args) == 0 && kwds == NULL) return (PyObject *)bp_new_descr(NULL);
    static char *names[] = {"spec", NULL};
    if (!PyArg_ParseTupleAndKeywords(args, kwds, "O", names, &spec)) return NULL;
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
    .tp_str = (reprfunc)descr_repr,
    .tp_hash = (hashfunc)descr_hash,
    .tp_getset = getset,
    .tp_methods = methods,
    .tp_doc = "A NumPy dtype of posits; made by posit.dtype(n, rs, es).",
}}};

static PyObject *setup(PyObject *module, PyObject *args) {
    PyObject *scalar, *from_bits, *to_bits, *to_number, *to_text, *function;
    if (!PyArg_ParseTuple(args, "OOOOOO", &scalar, &from_bits, &to_bits, &to_number, &to_text,
                          &function))
        return NULL;
    bp_python = (bp_helpers){Py_NewRef(scalar),    Py_NewRef(from_bits), Py_NewRef(to_bits),
                             Py_NewRef(to_number), Py_NewRef(to_text),   Py_NewRef(function)};
    PyArrayMethod_Spec **casts = bp_casts();
    if (casts == NULL) return NULL;
    PyArrayDTypeMeta_Spec spec = {
        .flags = NPY_DT_PARAMETRIC | NPY_DT_NUMERIC,
        .casts = casts,
        .typeobj = (PyTypeObject *)scalar,
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
    if (bp_register_ufuncs() < 0 || bp_register_reductions() < 0) return NULL;
    if (PyModule_AddObjectRef(module, "PositDType", (PyObject *)&PositDType) < 0) return NULL;
    Py_RETURN_NONE;
}

static PyMethodDef functions[] = {
    {"setup", setup, METH_VARARGS, "Register the dtype; called once by posit._dtype."},
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
