/* Universal functions: each loop hands strided memory to the core, or to a Python function of
 * posit.functions for what is not element-wise arithmetic. */
#include "dtype.h"

/* ---- descriptors ---- */

/* All operands have one posit format, the common one of the inputs. */
static NPY_CASTING resolve(int nin, int nargs, PyArray_DTypeMeta *const *dt,
                           PyArray_Descr *const *given, PyArray_Descr **loop) {
    PositDescr *common = bp_common_of(nin, given);
    if (common == NULL) return (NPY_CASTING)-1;
    for (int i = 0; i < nargs; i++) {
        if (dt[i] == &PositDType) loop[i] = (PyArray_Descr *)Py_NewRef((PyObject *)common);
        else loop[i] = PyArray_DescrFromType(dt[i]->type_num);
    }
    Py_DECREF(common);
    return NPY_SAFE_CASTING; /* nothing is lost by the operation itself */
}
#define RESOLVER(name, nin, nargs)                                                              \
    static NPY_CASTING name(struct PyArrayMethodObject_tag *m, PyArray_DTypeMeta *const *dt,    \
                            PyArray_Descr *const *given, PyArray_Descr **loop, npy_intp *off) { \
        (void)m, (void)off;                                                                     \
        return resolve(nin, nargs, dt, given, loop);                                            \
    }
RESOLVER(resolve_1_1, 1, 2)
RESOLVER(resolve_1_2, 1, 3)
RESOLVER(resolve_2_1, 2, 3)
RESOLVER(resolve_2_2, 2, 4)
RESOLVER(resolve_3_1, 3, 4)

static void *resolver(int nin, int nout) {
    if (nin == 1) return nout == 1 ? (void *)resolve_1_1 : (void *)resolve_1_2;
    if (nin == 2) return nout == 1 ? (void *)resolve_2_1 : (void *)resolve_2_2;
    return (void *)resolve_3_1;
}

/* ---- promotion: posits with Python numbers, integers and booleans ---- */
static int is_plain(PyArray_DTypeMeta *d) {
    return d == &PyArray_PyLongDType || d == &PyArray_PyFloatDType ||
           (d->type_num >= 0 && (d->type_num == NPY_BOOL || PyTypeNum_ISINTEGER(d->type_num)));
}
static int is_number(PyArray_DTypeMeta *d) {
    return d == &PyArray_PyComplexDType || PyTypeNum_ISNUMBER(d->type_num) ||
           PyTypeNum_ISUSERDEF(d->type_num);
}
/* Posits stay posits. Beside objects they are objects too; text, times and records have no loop
 * with them, which NumPy knows how to say where no error is set: == and != are then False and
 * True. */
static int promote_to(PyArray_DTypeMeta *output, PyObject *ufunc, PyArray_DTypeMeta *const ops[],
                      PyArray_DTypeMeta *const sig[], PyArray_DTypeMeta *made[]) {
    PyUFuncObject *u = (PyUFuncObject *)ufunc;
    PyArray_DTypeMeta *input = &PositDType;
    for (int i = 0; i < u->nin; i++)
        if (ops[i] == &PyArray_ObjectDType && sig[u->nin] == NULL) input = &PyArray_ObjectDType;
    if (input != &PositDType && output == &PositDType) output = input;
    for (int i = 0; i < u->nargs; i++) {
        int is_input = i < u->nin;
        PyArray_DTypeMeta *d = sig[i] || !is_input ? sig[i] : ops[i];
        if (d == NULL || (is_input ? d == &PositDType || d == input || is_plain(d) : d == output))
            continue;
        if (!is_input || is_number(d))
            PyErr_Format(PyExc_TypeError,
                         "%s: posits and %s operands do not mix implicitly; write "
                         "x.astype(posit.dtype(...)) to round the other operand (float(x) if it is "
                         "a scalar, np.array(x, a.dtype) if a list), or a.astype(float) to leave "
                         "posits",
                         u->name, ((PyTypeObject *)d)->tp_name);
        return -1;
    }
    for (int i = 0; i < u->nargs; i++) made[i] = NPY_DT_NewRef(i < u->nin ? input : output);
    return 0;
}
static int promote(PyObject *ufunc, PyArray_DTypeMeta *const ops[], PyArray_DTypeMeta *const sig[],
                   PyArray_DTypeMeta *made[]) {
    return promote_to(&PositDType, ufunc, ops, sig, made);
}
static int promote_bool(PyObject *ufunc, PyArray_DTypeMeta *const ops[],
                        PyArray_DTypeMeta *const sig[], PyArray_DTypeMeta *made[]) {
    return promote_to(&PyArray_BoolDType, ufunc, ops, sig, made);
}

static PyObject *find_ufunc(const char *name) {
    PyObject *module = PyImport_ImportModule(strcmp(name, "clip") ? "numpy" : "numpy._core.umath");
    PyObject *ufunc = module ? PyObject_GetAttrString(module, name) : NULL;
    Py_XDECREF(module);
    if (ufunc == NULL && PyErr_ExceptionMatches(PyExc_AttributeError)) PyErr_Clear();
    return ufunc; /* NULL without an error: this NumPy does not have it */
}

/* For posits at the inputs of a set of bits, and anything elsewhere. */
static int add_promoter(PyObject *ufunc, int nin, int nout, int inputs, void *function) {
    PyObject *capsule = PyCapsule_New(function, "numpy._ufunc_promoter", NULL);
    PyObject *key = capsule ? PyTuple_New(nin + nout) : NULL;
    if (key == NULL) return -1;
    for (int i = 0; i < nin + nout; i++)
        PyTuple_SET_ITEM(
            key, i,
            Py_NewRef(inputs >> i & 1 ? (PyObject *)&PositDType : (PyObject *)&PyArrayDescr_Type));
    int result = PyUFunc_AddPromoter(ufunc, key, capsule);
    Py_DECREF(key);
    Py_DECREF(capsule);
    return result;
}

int bp_add_loop(const char *name, int nin, PyArray_DTypeMeta **dtypes, PyType_Slot *slots,
                NPY_ARRAYMETHOD_FLAGS flags) {
    PyObject *ufunc = find_ufunc(name);
    if (ufunc == NULL) return PyErr_Occurred() ? -1 : 0;
    int nout = ((PyUFuncObject *)ufunc)->nout;
    PyArrayMethod_Spec spec = {
        .name = name,
        .nin = nin,
        .nout = nout,
        .casting = NPY_SAFE_CASTING,
        .flags = flags | NPY_METH_SUPPORTS_UNALIGNED | NPY_METH_NO_FLOATINGPOINT_ERRORS,
        .dtypes = dtypes,
        .slots = slots,
    };
    int result = PyUFunc_AddLoopFromSpec(ufunc, &spec);
    int boolean = dtypes[nin] == &PyArray_BoolDType;
    void *promoter = boolean ? (void *)promote_bool : (void *)promote;
    /* Every set, larger ones first: NumPy refuses as soon as two promoters fit equally well, and
     * goes through them in this order. */
    for (int inputs = (1 << nin) - 1; result == 0 && inputs > 0; inputs--)
        result = add_promoter(ufunc, nin, nout, inputs, promoter);
    Py_DECREF(ufunc);
    return result;
}

/* ---- loops ---- */
/* Whether an output may be read as a later input: accumulate and reduce do that on purpose. */
static int in_sequence(char *const *data, const npy_intp *strides, npy_intp n, int nin) {
    const char *out = data[nin];
    npy_intp so = strides[nin];
    for (int i = 0; i < nin; i++) {
        if (data[i] == out && strides[i] == so && so != 0) continue;
        const char *lo = out + (so < 0 ? (n - 1) * so : 0), *hi = out + (so > 0 ? (n - 1) * so : 0);
        npy_intp si = strides[i];
        const char *il = data[i] + (si < 0 ? (n - 1) * si : 0),
                   *ih = data[i] + (si > 0 ? (n - 1) * si : 0);
        if (il <= hi && lo <= ih) return 1;
    }
    return 0;
}

static int apply(bp_op op, PyArrayMethod_Context *c, char *const *data, npy_intp n,
                 const npy_intp *strides, int nin) {
    bp_spec s = bp_spec_of(c->descriptors[0]);
    const char *b = nin > 1 ? data[1] : NULL;
    npy_intp sb = nin > 1 ? strides[1] : 0;
    for (int i = 0; i < nin; i++)
        if (bp_check(s, n, data[i], strides[i]) < 0) return -1;
    if (n > 1 && in_sequence(data, strides, n, nin)) {
        for (npy_intp i = 0; i < n; i++)
            bp_apply(op, s, 1, data[0] + i * strides[0], 0, b ? b + i * sb : NULL, 0, NULL, 0,
                     data[nin] + i * strides[nin], 0);
    } else if (n > 0) {
        bp_apply(op, s, (size_t)n, data[0], strides[0], b, sb, NULL, 0, data[nin], strides[nin]);
    }
    return 0;
}
#define APPLY(name, op, nin)                              \
    LOOP(name) {                                          \
        (void)aux;                                        \
        return apply(op, c, data, dims[0], strides, nin); \
    }
APPLY(subtract, BP_SUB, 2)
APPLY(multiply, BP_MUL, 2)
APPLY(divide, BP_DIV, 2)
APPLY(square_root, BP_SQRT, 1)
APPLY(negative, BP_NEG, 1)
APPLY(absolute, BP_ABS, 1)

/* Addition. A reduction (out is the first operand and does not move) and a running sum (out is
 * one ahead of the first operand) keep their sum in a quire: each result is rounded once. */
static int sum_with_quire(bp_spec s, char *const *data, npy_intp n, const npy_intp *strides) {
    bp_layout l = bp_exact_layout(s);
    uint64_t limb[BP_MAX_LIMBS];
    int32_t flags = 0;
    memset(limb, 0, (size_t)l.limbs * 8);
    if (bp_check(s, 1, data[0], 0) < 0 || bp_check(s, n, data[1], strides[1]) < 0) return -1;
    bp_quire_add(s, l, limb, &flags, bp_get(data[0], s), 0);
    bp_quire_sum(s, l, limb, &flags, (size_t)n, data[1], strides[1]);
    bp_put(data[2], s, bp_quire_round(s, l, limb, flags));
    return 0;
}
/* The running sums that are exact in float64, as far as they go; returns how many. */
static npy_intp run_in_f64(bp_spec s, char *const *data, npy_intp n, const npy_intp *strides) {
    double x[BP_BLOCK], sum;
    bp_decode_f64(s, 1, data[0], 0, &sum, 8, 0);
    for (npy_intp i = 0; i < n; i += BP_BLOCK) {
        size_t m = bp_step((size_t)n, (size_t)i), k = 0;
        bp_decode_f64(s, m, data[1] + i * strides[1], strides[1], x, 8, 0);
        for (; k < m; k++) { /* by the residual of TwoSum, which is NaN where a NaR is */
            double t = sum + x[k], b = t - sum;
            if ((sum - (t - b)) + (x[k] - b) != 0) break;
            x[k] = sum = t;
        }
        bp_encode_f64(s, k, x, 8, data[2] + i * strides[2], strides[2]);
        if (k < m) return i + (npy_intp)k;
    }
    return n;
}
static int run_with_quire(bp_spec s, char *const *data, npy_intp n, const npy_intp *strides) {
    bp_layout l = bp_exact_layout(s);
    uint64_t limb[BP_MAX_LIMBS] = {0};
    int32_t flags = 0;
    npy_intp i = 0;
    if (bp_check(s, 1, data[0], 0) < 0 || bp_check(s, n, data[1], strides[1]) < 0) return -1;
    /* not in place: the quire must find the operand that float64 has gone over */
    char *const apart[2] = {data[1], data[2]};
    if (bp_fits_f64(s) && !in_sequence(apart, strides + 1, n, 1) && data[1] != data[2])
        i = run_in_f64(s, data, n, strides);
    if (i == n) return 0;
    bp_quire_add(s, l, limb, &flags, bp_get(data[0], s), 0);
    bp_quire_sum(s, l, limb, &flags, (size_t)i, data[1], strides[1]);
    for (; i < n; i++) {
        bp_quire_add(s, l, limb, &flags, bp_get(data[1] + i * strides[1], s), 0);
        bp_put(data[2] + i * strides[2], s, bp_quire_round(s, l, limb, flags));
    }
    return 0;
}
LOOP(add) {
    (void)aux;
    bp_spec s = bp_spec_of(c->descriptors[0]);
    npy_intp n = dims[0];
    if (n > 1 && data[0] == data[2] && strides[0] == 0 && strides[2] == 0)
        return sum_with_quire(s, data, n, strides);
    if (n > 1 && strides[0] == strides[2] && strides[2] != 0 && data[2] == data[0] + strides[2])
        return run_with_quire(s, data, n, strides);
    return apply(BP_ADD, c, data, n, strides, 2);
}

LOOP(square) {
    (void)aux;
    char *const twice[3] = {data[0], data[0], data[1]};
    const npy_intp steps[3] = {strides[0], strides[0], strides[1]};
    return apply(BP_MUL, c, twice, dims[0], steps, 2);
}
LOOP(reciprocal) {
    (void)aux;
    bp_spec s = bp_spec_of(c->descriptors[0]);
    char one[8];
    bp_put(one, s, (int64_t)1 << (s.n - 2));
    char *const operands[3] = {one, data[0], data[1]};
    const npy_intp steps[3] = {0, strides[0], strides[1]};
    return apply(BP_DIV, c, operands, dims[0], steps, 2);
}
LOOP(positive) {
    (void)aux;
    bp_move(data[1], strides[1], data[0], strides[0], dims[0], c->descriptors[0]->elsize);
    return 0;
}

/* By way of Python: one call for each stretch of memory that NumPy hands over. After an error no
 * Python may run, yet reduceat goes on to its next stretch. */
LOOP(by_python) {
    if (PyErr_Occurred()) return -1;
    PyUFuncObject *ufunc = (PyUFuncObject *)c->caller;
    if (dims[0] > 1 && ufunc->nout == 1 && in_sequence(data, strides, dims[0], ufunc->nin)) {
        const npy_intp single = 1;
        char *at[NPY_MAXARGS];
        for (npy_intp i = 0; i < dims[0]; i++) {
            for (int k = 0; k < ufunc->nargs; k++) at[k] = data[k] + i * strides[k];
            if (by_python(c, at, &single, strides, aux) < 0) return -1;
        }
        return 0;
    }
    bp_spec s = bp_spec_of(c->descriptors[0]);
    PyObject *spec = ((PositDescr *)c->descriptors[0])->object;
    int nin = ufunc->nin, nargs = ufunc->nargs;
    if (dims[0] == 0) return 0;
    PyObject *function = PyObject_CallFunction(bp_python.function, "s", ufunc->name);
    PyObject *operands = function ? PyTuple_New(nargs + 1) : NULL;
    if (operands == NULL) {
        Py_XDECREF(function);
        return -1;
    }
    int result = -1;
    npy_intp shape = dims[0];
    for (int i = 0; i < nargs; i++) { /* inputs, spec, outputs */
        npy_intp step = strides[i];
        PyObject *array =
            PyArray_NewFromDescr(&PyArray_Type, PyArray_DescrFromType(bp_typenum(s)), 1, &shape,
                                 &step, data[i], i < nin ? 0 : NPY_ARRAY_WRITEABLE, NULL);
        if (array == NULL) goto done;
        PyArray_UpdateFlags((PyArrayObject *)array,
                            NPY_ARRAY_ALIGNED | NPY_ARRAY_C_CONTIGUOUS | NPY_ARRAY_F_CONTIGUOUS);
        PyTuple_SET_ITEM(operands, i < nin ? i : i + 1, array);
    }
    PyTuple_SET_ITEM(operands, nin, Py_NewRef(spec));
    PyObject *made = PyObject_CallObject(function, operands);
    result = made ? 0 : -1;
    Py_XDECREF(made);
done:
    Py_DECREF(function);
    Py_DECREF(operands);
    return result;
}

/* ---- registration ---- */
static int initial(PyArrayMethod_Context *c, npy_bool empty, void *to, int64_t one) {
    (void)empty;
    bp_spec s = bp_spec_of(c->descriptors[0]);
    bp_put(to, s, one ? (int64_t)1 << (s.n - 2) : 0);
    return 1;
}
static int initial_zero(PyArrayMethod_Context *c, npy_bool empty, void *to) {
    return initial(c, empty, to, 0);
}
static int initial_one(PyArrayMethod_Context *c, npy_bool empty, void *to) {
    return initial(c, empty, to, 1);
}

static int add_posit_loop(const char *name, int nin, int nout, void *loop, int boolean, void *start,
                          NPY_ARRAYMETHOD_FLAGS flags) {
    PyArray_DTypeMeta *dtypes[5] = {&PositDType, &PositDType, &PositDType, &PositDType,
                                    &PositDType};
    if (boolean) dtypes[nin] = &PyArray_BoolDType;
    PyType_Slot slots[5] = {{NPY_METH_resolve_descriptors, resolver(nin, nout)},
                            {NPY_METH_strided_loop, loop},
                            {NPY_METH_unaligned_strided_loop, loop},
                            {start ? NPY_METH_get_reduction_initial : 0, start},
                            {0, NULL}};
    return bp_add_loop(name, nin, dtypes, slots, flags);
}

int bp_register_ufuncs(void) {
    static const struct {
        const char *name;
        int nin;
        void *loop;
        int boolean, reorderable;
        void *initial;
    } table[] = {
        {"add", 2, add, 0, 1, initial_zero},
        {"subtract", 2, subtract, 0, 0, NULL},
        {"multiply", 2, multiply, 0, 1, initial_one},
        {"divide", 2, divide, 0, 0, NULL},
        {"sqrt", 1, square_root, 0, 0, NULL},
        {"negative", 1, negative, 0, 0, NULL},
        {"absolute", 1, absolute, 0, 0, NULL},
        {"fabs", 1, absolute, 0, 0, NULL},
        {"positive", 1, positive, 0, 0, NULL},
        {"conjugate", 1, positive, 0, 0, NULL},
        {"square", 1, square, 0, 0, NULL},
        {"reciprocal", 1, reciprocal, 0, 0, NULL},
        {"less", 2, bp_loop_less, 1, 0, NULL},
        {"less_equal", 2, bp_loop_less_equal, 1, 0, NULL},
        {"greater", 2, bp_loop_greater, 1, 0, NULL},
        {"greater_equal", 2, bp_loop_greater_equal, 1, 0, NULL},
        {"equal", 2, bp_loop_equal, 1, 0, NULL},
        {"not_equal", 2, bp_loop_not_equal, 1, 0, NULL},
        {"maximum", 2, bp_loop_maximum, 0, 1, NULL},
        {"minimum", 2, bp_loop_minimum, 0, 1, NULL},
        {"fmax", 2, bp_loop_fmax, 0, 1, NULL},
        {"fmin", 2, bp_loop_fmin, 0, 1, NULL},
        {"clip", 3, bp_loop_clip, 0, 0, NULL},
        {"isnan", 1, bp_loop_isnan, 1, 0, NULL},
        {"isfinite", 1, bp_loop_isfinite, 1, 0, NULL},
        {"isinf", 1, bp_loop_isinf, 1, 0, NULL},
        {"signbit", 1, bp_loop_signbit, 1, 0, NULL},
        {"logical_not", 1, bp_loop_logical_not, 1, 0, NULL},
    };
    static const struct {
        const char *name;
        int nin, nout;
    } python[] = {
        {"floor", 1, 1},       {"ceil", 1, 1},         {"rint", 1, 1},      {"trunc", 1, 1},
        {"sign", 1, 1},        {"exp", 1, 1},          {"exp2", 1, 1},      {"expm1", 1, 1},
        {"log", 1, 1},         {"log2", 1, 1},         {"log10", 1, 1},     {"log1p", 1, 1},
        {"sin", 1, 1},         {"cos", 1, 1},          {"tan", 1, 1},       {"arcsin", 1, 1},
        {"arccos", 1, 1},      {"arctan", 1, 1},       {"sinh", 1, 1},      {"cosh", 1, 1},
        {"tanh", 1, 1},        {"arcsinh", 1, 1},      {"arccosh", 1, 1},   {"arctanh", 1, 1},
        {"cbrt", 1, 1},        {"hypot", 2, 1},        {"arctan2", 2, 1},   {"power", 2, 1},
        {"float_power", 2, 1}, {"floor_divide", 2, 1}, {"remainder", 2, 1}, {"fmod", 2, 1},
        {"copysign", 2, 1},    {"nextafter", 2, 1},    {"divmod", 2, 2},
    };
    for (size_t i = 0; i < sizeof table / sizeof *table; i++) {
        int flags = table[i].reorderable ? NPY_METH_IS_REORDERABLE : 0;
        if (add_posit_loop(table[i].name, table[i].nin, 1, table[i].loop, table[i].boolean,
                           table[i].initial, (NPY_ARRAYMETHOD_FLAGS)flags) < 0)
            return -1;
    }
    for (size_t i = 0; i < sizeof python / sizeof *python; i++)
        if (add_posit_loop(python[i].name, python[i].nin, python[i].nout, by_python, 0, NULL,
                           NPY_METH_REQUIRES_PYAPI) < 0)
            return -1;
    return 0;
}
