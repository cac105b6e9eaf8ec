/* Order, sorting, filling and copying: all of it is integer work. */
#include "dtype.h"

static bp_spec array_spec(void *arr) { return bp_spec_of(PyArray_DESCR((PyArrayObject *)arr)); }

int bp_compare(const void *a, const void *b, void *arr) {
    bp_spec s = array_spec(arr);
    int64_t x = bp_get(a, s), y = bp_get(b, s);
    return (x > y) - (x < y);
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
    npy_intp size = PyArray_ITEMSIZE((PyArrayObject *)arr);
    bp_move(data, size, value, 0, n, size);
    return 0;
}

/* NumPy's own functions on integers, at their speed: patterns order alike. */
typedef struct {
    PyArray_Descr *held;
    PyObject *view; /* of the elements; NULL where there was no memory for it */
    PyArray_ArrFuncs *call;
} integers;
static integers integers_of(void *data, npy_intp n, void *arr) {
    NPY_ALLOW_C_API_DEF
    NPY_ALLOW_C_API
    int type = bp_typenum(array_spec(arr));
    integers v = {PyArray_DescrFromType(type), NULL, NULL};
    v.call = PyDataType_GetArrFuncs(v.held);
    v.view = PyArray_SimpleNewFromData(1, &n, type, data);
    NPY_DISABLE_C_API
    return v;
}
static int finish(integers v, int result) {
    NPY_ALLOW_C_API_DEF
    NPY_ALLOW_C_API
    Py_XDECREF(v.view);
    Py_DECREF(v.held);
    NPY_DISABLE_C_API
    return v.view ? result : -1;
}
int bp_sort(void *data, npy_intp n, void *arr) {
    if (array_spec(arr).n == 0) return bp_no_format();
    integers v = integers_of(data, n, arr);
    return finish(v, v.view ? v.call->sort[NPY_QUICKSORT](data, n, v.view) : -1);
}
static int argsort(void *data, npy_intp *at, npy_intp n, void *arr, NPY_SORTKIND kind) {
    if (array_spec(arr).n == 0) return bp_no_format();
    integers v = integers_of(data, n, arr);
    return finish(v, v.view ? v.call->argsort[kind](data, at, n, v.view) : -1);
}
int bp_argsort(void *data, npy_intp *at, npy_intp n, void *arr) {
    return argsort(data, at, n, arr, NPY_QUICKSORT);
}
int bp_argsort_stable(void *data, npy_intp *at, npy_intp n, void *arr) {
    return argsort(data, at, n, arr, NPY_STABLESORT);
}

/* NumPy's rule for NaN holds for NaR: the first one is both the maximum and the minimum. It is the
 * least integer, so that only the maximum has to ask for it. */
int bp_argmin(void *data, npy_intp n, npy_intp *at, void *arr) {
    integers v = integers_of(data, n, arr);
    return finish(v, v.view ? v.call->argmin(data, n, at, v.view) : -1);
}
int bp_argmax(void *data, npy_intp n, npy_intp *at, void *arr) {
    bp_spec s = array_spec(arr);
    integers v = integers_of(data, n, arr);
    int result = v.view ? v.call->argmin(data, n, at, v.view) : -1;
    if (result == 0 && n > 0 && bp_get((char *)data + *at * bp_bytes(s), s) != bp_nar(s))
        result = v.call->argmax(data, n, at, v.view);
    return finish(v, result);
}

void bp_move(char *to, npy_intp st, const char *from, npy_intp sf, npy_intp n, npy_intp size) {
    enum { PIECE = 4096 }; /* elements: stays in the first-level cache */
    if (st == size && sf == size) {
        memmove(to, from, (size_t)(n * size));
        return;
    }
    if (st == size && sf == 0 && n > 0) { /* one element over and over: by doubling */
        memmove(to, from, (size_t)size);
        for (npy_intp done = 1, k; done < n; done += k) {
            k = done < n - done ? done : n - done;
            k = k < PIECE ? k : PIECE;
            memcpy(to + done * size, to, (size_t)(k * size));
        }
        return;
    }
    if (size > 8) bp_copy_sized(to, st, from, sf, (size_t)n, sizeof(bp_number));
    else bp_copy(to, st, from, sf, (size_t)n, (int)size);
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
    if (from && !swap) {
        bp_move(to, st, from, sf, n, PyArray_ITEMSIZE((PyArrayObject *)arr));
        return;
    }
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
