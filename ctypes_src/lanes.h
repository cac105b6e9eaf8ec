/* What the array files share: element access, blocks of strided operands, dispatch over specs. */
#ifndef BPOSIT_LANES_H
#define BPOSIT_LANES_H

#include "codec.h"

/* One binary runs everywhere: the loader picks the widest vectors the machine has. */
#if defined(__x86_64__) && defined(__gnu_linux__) && defined(__GNUC__) && !defined(__clang__) && \
    !defined(BP_ONE_TARGET)
#define BP_CLONES __attribute__((target_clones("arch=x86-64-v4", "arch=x86-64-v3", "default")))
#else
#define BP_CLONES
#endif

/* An output may be exactly an input: iterations never depend on each other. */
#if defined(__clang__)
#define BP_INDEPENDENT _Pragma("clang loop vectorize(assume_safety)")
#else
#define BP_INDEPENDENT _Pragma("GCC ivdep")
#endif

/* Runs `call` with S the spec; for the common formats S is a constant, which the compiler folds. */
#define BP_WITH_SPEC(s, call)                  \
    do {                                       \
        if (bp_same((s), 16, 6, 5)) {          \
            const bp_spec S = {16, 6, 5};      \
            call;                              \
        } else if (bp_same((s), 32, 6, 5)) {   \
            const bp_spec S = {32, 6, 5};      \
            call;                              \
        } else if (bp_same((s), 64, 6, 5)) {   \
            const bp_spec S = {64, 6, 5};      \
            call;                              \
        } else if (bp_same((s), 8, 3, 2)) {    \
            const bp_spec S = {8, 3, 2};       \
            call;                              \
        } else if (bp_same((s), 16, 15, 2)) {  \
            const bp_spec S = {16, 15, 2};     \
            call;                              \
        } else if (bp_same((s), 32, 31, 2)) {  \
            const bp_spec S = {32, 31, 2};     \
            call;                              \
        } else if (bp_size(s) == 2) {          \
            const bp_spec S = bp_known(s, 9);  \
            call;                              \
        } else if (bp_size(s) == 4) {          \
            const bp_spec S = bp_known(s, 17); \
            call;                              \
        } else {                               \
            const bp_spec S = (s);             \
            call;                              \
        }                                      \
    } while (0)

BP_INLINE int bp_same(bp_spec s, int n, int rs, int es) {
    return s.n == n && s.rs == rs && s.es == es;
}

/* The same spec, and a promise to the compiler that n lies in low ... 2*low - 2: loads and stores
 * have a constant size then, and vectorise. */
BP_INLINE bp_spec bp_known(bp_spec s, int low) {
    if (s.n < low || s.n > 2 * low - 2 || s.rs >= s.n || s.rs < 2) __builtin_unreachable();
    return s;
}

BP_INLINE int bp_size(bp_spec s) { return s.n <= 8 ? 1 : s.n <= 16 ? 2 : s.n <= 32 ? 4 : 8; }

BP_INLINE int64_t bp_load(const void *p, size_t i, int size) {
    switch (size) {
    case 1: return ((const int8_t *)p)[i];
    case 2: return ((const int16_t *)p)[i];
    case 4: return ((const int32_t *)p)[i];
    default: return ((const int64_t *)p)[i];
    }
}
BP_INLINE void bp_store(void *p, size_t i, int size, int64_t x) {
    switch (size) {
    case 1: ((int8_t *)p)[i] = (int8_t)x; break;
    case 2: ((int16_t *)p)[i] = (int16_t)x; break;
    case 4: ((int32_t *)p)[i] = (int32_t)x; break;
    default: ((int64_t *)p)[i] = x;
    }
}

/* Work goes block by block through the first-level cache, so that strided and misaligned operands
 * are gathered first and every loop runs on contiguous memory. */
enum { BP_BLOCK = 512 };
typedef struct {
    int64_t word[BP_BLOCK];
} bp_buffer;

BP_INLINE void bp_copy_sized(char *to, ptrdiff_t st, const char *from, ptrdiff_t sf, size_t count,
                             const int size) {
    for (size_t i = 0; i < count; i++)
        memcpy(to + (ptrdiff_t)i * st, from + (ptrdiff_t)i * sf, (size_t)size);
}
BP_INLINE void bp_copy(char *to, ptrdiff_t st, const char *from, ptrdiff_t sf, size_t count,
                       int size) {
    switch (size) { /* a constant size makes each memcpy one move */
    case 1: bp_copy_sized(to, st, from, sf, count, 1); break;
    case 2: bp_copy_sized(to, st, from, sf, count, 2); break;
    case 4: bp_copy_sized(to, st, from, sf, count, 4); break;
    default: bp_copy_sized(to, st, from, sf, count, 8);
    }
}

BP_INLINE int bp_direct(const void *p, ptrdiff_t stride, int size) {
    return stride == size && (uintptr_t)p % (uintptr_t)size == 0;
}

/* A contiguous line read backwards is common enough to deserve vector code. */
BP_INLINE void bp_reverse(void *to, const char *last, size_t count, const int size) {
    const char *from = last - (ptrdiff_t)((count - 1) * (size_t)size);
    for (size_t i = 0; i < count; i++) bp_store(to, i, size, bp_load(from, count - 1 - i, size));
}

BP_INLINE void bp_repeat(void *to, const char *from, size_t count, const int size) {
    int64_t one;
    memcpy(&one, from, (size_t)size);
    one = bp_load(&one, 0, size);
    for (size_t i = 0; i < count; i++) bp_store(to, i, size, one);
}

/* Elements first ... first+count-1 of a strided operand as contiguous memory. */
BP_INLINE const void *bp_gather(const void *p, ptrdiff_t stride, size_t first, size_t count,
                                int size, bp_buffer *room) {
    const char *from = (const char *)p + (ptrdiff_t)first * stride;
    if (bp_direct(p, stride, size)) return from;
    if (stride == 0) {
        switch (size) {
        case 1: bp_repeat(room, from, count, 1); break;
        case 2: bp_repeat(room, from, count, 2); break;
        case 4: bp_repeat(room, from, count, 4); break;
        default: bp_repeat(room, from, count, 8);
        }
        return room;
    }
    if (stride == -size && count > 0 && (uintptr_t)p % (uintptr_t)size == 0) {
        switch (size) {
        case 1: bp_reverse(room, from, count, 1); break;
        case 2: bp_reverse(room, from, count, 2); break;
        case 4: bp_reverse(room, from, count, 4); break;
        default: bp_reverse(room, from, count, 8);
        }
        return room;
    }
    bp_copy((char *)room, size, from, stride, count, size);
    return room;
}

/* Where to write those elements; bp_scatter then delivers what went to the buffer. */
BP_INLINE void *bp_target(void *p, ptrdiff_t stride, size_t first, int size, bp_buffer *room) {
    return bp_direct(p, stride, size) ? (char *)p + (ptrdiff_t)first * stride : (void *)room;
}
BP_INLINE void bp_scatter(void *p, ptrdiff_t stride, size_t first, size_t count, int size,
                          const void *from) {
    if (bp_direct(p, stride, size)) return;
    bp_copy((char *)p + (ptrdiff_t)first * stride, stride, (const char *)from, size, count, size);
}

BP_INLINE size_t bp_step(size_t count, size_t first) {
    return count - first < BP_BLOCK ? count - first : BP_BLOCK;
}

#endif
