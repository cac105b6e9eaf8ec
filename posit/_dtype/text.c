/* Casts between posits and text: str, bytes, and NumPy's StringDType. All of it is Python's. */
#include "dtype.h"

enum { LONGEST = 32 }; /* sign, 21 digits, point, e+1234: the longest shortest decimal fits */

static int is_string(const PyArray_Descr *d) { return d->type_num == NPY_VSTRING; }

/* ---- one text out of an array, and into one ---- */
static PyObject *read_string(PyArray_StringDTypeObject *d, const char *from) {
    npy_static_string s = {0, NULL};
    PyObject *text = NULL;
    npy_string_allocator *held = NpyString_acquire_allocator(d);
    int is_null = NpyString_load(held, (const npy_packed_static_string *)from, &s);
    if (is_null == 0) text = PyUnicode_DecodeUTF8(s.buf, (Py_ssize_t)s.size, NULL);
    NpyString_release_allocator(held); /* before any Python runs */
    if (is_null == 1 && d->has_nan_na) return PyUnicode_FromString("NaR");
    if (is_null) PyErr_SetString(PyExc_ValueError, "a missing text is not a number");
    return text;
}
static PyObject *read_text(PyArray_Descr *d, const char *from) {
    if (is_string(d)) return read_string((PyArray_StringDTypeObject *)d, from);
    npy_intp end = d->elsize, unit = d->type_num == NPY_UNICODE ? 4 : 1;
    while (end > 0 && from[end - 1] == 0) end--; /* padded with zeros */
    end += (unit - end % unit) % unit;
    if (unit == 1) return PyUnicode_DecodeLatin1(from, end, NULL);
    int order = 0; /* native */
    return PyUnicode_DecodeUTF32(from, end, NULL, &order);
}

static int write_text(PyArray_Descr *d, char *to, PyObject *text) {
    Py_ssize_t length;
    const char *ascii = PyUnicode_AsUTF8AndSize(text, &length);
    if (ascii == NULL) return -1;
    if (is_string(d)) {
        npy_string_allocator *held = NpyString_acquire_allocator((PyArray_StringDTypeObject *)d);
        int failed = NpyString_pack(held, (npy_packed_static_string *)to, ascii, (size_t)length);
        NpyString_release_allocator(held);
        if (failed) PyErr_NoMemory();
        return failed;
    }
    npy_intp room = d->elsize, unit = d->type_num == NPY_UNICODE ? 4 : 1;
    memset(to, 0, (size_t)room);
    for (Py_ssize_t k = 0; k < length && (k + 1) * unit <= room; k++) {
        Py_UCS4 letter = (unsigned char)ascii[k];
        if (unit == 4) memcpy(to + 4 * k, &letter, 4);
        else to[k] = ascii[k];
    }
    return 0;
}

/* ---- posits to text ---- */
static PyArray_Descr *native(PyArray_Descr *d) {
    if (is_string(d)) return (PyArray_Descr *)Py_NewRef((PyObject *)d);
    return PyArray_DescrNewByteorder(d, NPY_NATIVE);
}
NPY_CASTING bp_resolve_to_text(struct PyArrayMethodObject_tag *m, PyArray_DTypeMeta *const *dt,
                               PyArray_Descr *const *given, PyArray_Descr **loop,
                               npy_intp *view_offset) {
    (void)m, (void)view_offset;
    if (given[1]) {
        loop[1] = native(given[1]);
    } else if (dt[1] == &PyArray_StringDType) {
        loop[1] = (PyArray_Descr *)PyObject_CallNoArgs((PyObject *)dt[1]);
    } else {
        loop[1] = PyArray_DescrNewFromType(dt[1]->type_num);
        if (loop[1]) loop[1]->elsize = LONGEST * (dt[1]->type_num == NPY_UNICODE ? 4 : 1);
    }
    if (loop[1] == NULL) return (NPY_CASTING)-1;
    loop[0] = (PyArray_Descr *)Py_NewRef((PyObject *)given[0]);
    return NPY_UNSAFE_CASTING;
}
LOOP(bp_to_text) {
    (void)aux;
    PositDescr *d = (PositDescr *)c->descriptors[0];
    if (d->spec.n == 0) return bp_no_format();
    for (npy_intp i = 0; i < dims[0]; i++) {
        long long bits = bp_get(data[0] + i * strides[0], d->spec);
        PyObject *text = PyObject_CallFunction(bp_python.to_text, "LO", bits, d->object);
        int done = text ? write_text(c->descriptors[1], data[1] + i * strides[1], text) : -1;
        Py_XDECREF(text);
        if (done < 0) return -1;
    }
    return 0;
}

/* ---- text to posits ---- */
NPY_CASTING bp_resolve_from_text(struct PyArrayMethodObject_tag *m, PyArray_DTypeMeta *const *dt,
                                 PyArray_Descr *const *given, PyArray_Descr **loop,
                                 npy_intp *view_offset) {
    (void)m, (void)dt, (void)view_offset;
    loop[1] = given[1] ? (PyArray_Descr *)Py_NewRef((PyObject *)given[1])
                       : (PyArray_Descr *)bp_new_descr(NULL);
    loop[0] = loop[1] ? native(given[0]) : NULL;
    if (loop[0] == NULL) {
        Py_XDECREF(loop[1]);
        return (NPY_CASTING)-1;
    }
    return NPY_SAME_KIND_CASTING; /* it is read exactly, or not at all */
}
LOOP(bp_from_text) {
    (void)aux;
    PositDescr *d = (PositDescr *)c->descriptors[1];
    if (d->spec.n == 0) return bp_no_format();
    for (npy_intp i = 0; i < dims[0]; i++) {
        PyObject *text = read_text(c->descriptors[0], data[0] + i * strides[0]);
        int done = text ? bp_setitem(d, text, data[1] + i * strides[1]) : -1;
        Py_XDECREF(text);
        if (done < 0) return -1;
    }
    return 0;
}
