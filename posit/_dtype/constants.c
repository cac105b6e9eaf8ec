/* Constants of a format for NumPy (np.finfo, from NumPy 2.5.1): posit/limits.py knows them. */
#include "dtype.h"

enum { FIRST_WHOLE = 1 << 16 }; /* IDs from here on ask for an npy_intp, those below for a posit */

int bp_constant(PyArray_Descr *d, int id, void *to) {
    bp_spec s = bp_spec_of(d);
    if (s.n == 0) return 0;
    PyObject *function = PyObject_CallFunction(bp_python.function, "s", "constant");
    PyObject *made =
        function ? PyObject_CallFunction(function, "Oi", ((PositDescr *)d)->object, id) : NULL;
    Py_XDECREF(function);
    if (made == NULL) return -1;
    int known = made != Py_None;
    long long value = known ? PyLong_AsLongLong(made) : 0;
    Py_DECREF(made);
    if (PyErr_Occurred()) return -1;
    npy_intp whole = (npy_intp)value;
    if (known && id >= FIRST_WHOLE) memcpy(to, &whole, sizeof whole);
    else if (known) bp_put(to, s, value);
    return known;
}
