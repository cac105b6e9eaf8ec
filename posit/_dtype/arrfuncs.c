/* Order, sorting, filling and copying. Patterns order as integers, so all of it is integer work. */
#include "dtype.h"

static bp_spec array_spec(void *arr) { return bp_spec_of(PyArray_DESCR((PyArrayObject *)arr)); }

int bp_compare(const void *a, const void *b, void *arr) {
    bp_spec s = array_spec(arr);
    int64_t x = bp_get(a, s), y = bp_get(b, s);
    return (x > y) - (x < y);
}

/* NumPy's rule for NaN holds for NaR: the first one is both the maximum and the minimum. */
static int extreme(const char *data, npy_intp n, npy_intp *at, void *arr, int sign) {
    bp_spec s = array_spec(arr);
    int size = bp_bytes(s);
    int64_t nar = bp_nar(s), best = n > 0 ? bp_get(data, s) : 0;
    *at = 0;
    for (npy_intp i = 1; i < n && best != nar; i++) {
        int64_t x = bp_get(data + i * size, s);
        if (x == nar || (sign > 0 ? x > best : x < best)) best = x, *at = i;
    }
    return 0;
}
int bp_argmax(void *data, npy_intp n, npy_intp *at, void *arr) {
    return extreme(data, n, at, arr, 1);
}
int bp_argmin(void *data, npy_intp n, npy_intp *at, void *arr) {
    return extreme(data, n, at, arr, -1);
}

npy_bool bp_nonzero(void *data, void *arr) { return bp_get(data, array_spec(arr)) != 0; }

/* arange: element i is x0 + i*(x1 - x0), exact in a quire and rounded once. */
int bp_fill(void *data, npy_intp n, void *arr) {
    bp_spec s = array_spec(arr);
    int size = bp_bytes(s);
    char *p = data;
    if (s.n == 0) return bp_no_format();
    if (n < 3) return 0;
    if (bp_check(s, 2, p, size) < 0) return -1;
    bp_layout l = bp_exact_layout(s);
    uint64_t sum[BP_MAX_LIMBS] = {0}, step[BP_MAX_LIMBS] = {0};
    int32_t sum_flags = 0, step_flags = 0;
    bp_quire_add(s, l, step, &step_flags, bp_get(p, s), 1);
    bp_quire_add(s, l, step, &step_flags, bp_get(p + size, s), 0);
    bp_quire_add(s, l, sum, &sum_flags, bp_get(p + size, s), 0);
    for (npy_intp i = 2; i < n; i++) {
        bp_quire_merge(l, sum, &sum_flags, step, step_flags);
        bp_put(p + i * size, s, bp_quire_round(s, l, sum, sum_flags));
    }
    return 0;
}

int bp_fill_scalar(void *data, npy_intp n, void *value, void *arr) {
    size_t size = (size_t)PyArray_ITEMSIZE((PyArrayObject *)arr);
    for (npy_intp i = 0; i < n; i++) memcpy((char *)data + (size_t)i * size, value, size);
    return 0;
}

/* NumPy's own integer sorts, at their speed. */
static PyArray_ArrFuncs *integer_functions(void *arr, PyArray_Descr **held) {
    *held = PyArray_DescrFromType(bp_typenum(array_spec(arr)));
    return PyDataType_GetArrFuncs(*held);
}
static PyObject *integer_view(void *data, npy_intp n, void *arr) {
    return PyArray_SimpleNewFromData(1, &n, bp_typenum(array_spec(arr)), data);
}
int bp_sort(void *data, npy_intp n, void *arr) {
    NPY_ALLOW_C_API_DEF
    NPY_ALLOW_C_API
    PyArray_Descr *held;
    PyArray_ArrFuncs *f = integer_functions(arr, &held);
    PyObject *view = integer_view(data, n, arr);
    PyArray_SortFunc *sort = f->sort[NPY_QUICKSORT];
    NPY_DISABLE_C_API
    int result = view ? sort(data, n, view) : -1;
    NPY_ALLOW_C_API
    Py_XDECREF(view);
    Py_DECREF(held);
    NPY_DISABLE_C_API
    return result;
}
static int argsort(void *data, npy_intp *at, npy_intp n, void *arr, NPY_SORTKIND kind) {
    NPY_ALLOW_C_API_DEF
    NPY_ALLOW_C_API
    PyArray_Descr *held;
    PyArray_ArrFuncs *f = integer_functions(arr, &held);
    PyObject *view = integer_view(data, n, arr);
    PyArray_ArgSortFunc *sort = f->argsort[kind];
    NPY_DISABLE_C_API
    int result = view ? sort(data, at, n, view) : -1;
    NPY_ALLOW_C_API
    Py_XDECREF(view);
    Py_DECREF(held);
    NPY_DISABLE_C_API
    return result;
}
int bp_argsort(void *data, npy_intp *at, npy_intp n, void *arr) {
    return argsort(data, at, n, arr, NPY_QUICKSORT);
}
int bp_argsort_stable(void *data, npy_intp *at, npy_intp n, void *arr) {
    return argsort(data, at, n, arr, NPY_STABLESORT);
}

static void swap_bytes(char *p, int size) {
    for (int i = 0; i < size / 2; i++) {
        char c = p[i];
        p[i] = p[size - 1 - i];
        p[size - 1 - i] = c;
    }
}
void bp_copyswap(void *to, void *from, int swap, void *arr) {
    int size = (int)PyArray_ITEMSIZE((PyArrayObject *)arr);
    if (from) memmove(to, from, (size_t)size);
    if (swap) swap_bytes(to, size);
}
void bp_copyswapn(void *to, npy_intp st, void *from, npy_intp sf, npy_intp n, int swap, void *arr) {
    for (npy_intp i = 0; i < n; i++)
        bp_copyswap((char *)to + i * st, from ? (char *)from + i * sf : NULL, swap, arr);
}

/* np.fromstring: a decimal, nan or inf as Python reads them, or NaR. Called without the GIL. */
int bp_fromstr(char *text, void *to, char **end, PyArray_Descr *d) {
    NPY_ALLOW_C_API_DEF
    NPY_ALLOW_C_API
    int result = -1;
    if (PyOS_strnicmp(text, "nar", 3) == 0) {
        *end = text + 3;
    } else if (PyOS_string_to_double(text, end, NULL) == -1.0 && PyErr_Occurred()) {
        PyErr_Clear(); /* NumPy says itself that this is no number */
        *end = text;
    }
    if (*end != text) {
        PyObject *number = PyUnicode_FromStringAndSize(text, *end - text);
        result = number ? bp_setitem((PositDescr *)d, number, to) : -1;
        Py_XDECREF(number);
    }
    NPY_DISABLE_C_API
    return result;
}
