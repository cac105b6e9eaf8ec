/* Exact reductions over arrays: many products into one quire, or into a matrix of quires.
 *
 * A block of products with scales in [low, high] is one integer times 2^low as soon as
 * high - low + 2q + log2(BP_BLOCK) bits fit a machine word: the block is summed there, in any
 * order the vector unit likes, and reaches the quire in a single addition.
 */
#include "limbs.h"
#include "operand.h"

/* Sums of products by scale: bin i holds integers times 2^(i - offset). A product is below
 * 2^62, so 2^65 of them fit a bin. Two banks, because additions to one address wait for each
 * other. Every bin outside low ... high is zero; nothing is set up until first used. */
enum { BP_BINS = 1024 };
typedef struct {
    bp_i128 bank[2][BP_BINS];
    int32_t low, high;
    int ready;
} bp_bins;

/* Scales of products lie in [-2(reach + f_max), 2(reach - 1 - f_max)]. */
BP_INLINE int32_t bp_bin_offset(bp_spec s) { return 2 * ((int32_t)bp_reach(s) + bp_f_max(s)); }
BP_INLINE int bp_bins_fit(bp_spec s) { return 4 * bp_reach(s) <= BP_BINS; }

BP_INLINE void bp_bins_add(const bp_spec s, bp_bins *bins, size_t count, const int64_t *product,
                           const int32_t *scale, int32_t low, int32_t high) {
    const int32_t offset = bp_bin_offset(s);
    if (!bins->ready) {
        memset(bins->bank, 0, sizeof bins->bank);
        bins->ready = 1, bins->low = INT32_MAX, bins->high = -1;
    }
    bins->low = low + offset < bins->low ? low + offset : bins->low;
    bins->high = high + offset > bins->high ? high + offset : bins->high;
    for (size_t i = 0; i < count; i++) { /* a zero product may have any scale that exists */
        bins->bank[i & 1][scale[i] + offset] += product[i];
    }
}

BP_INLINE void bp_bins_flush(const bp_spec s, bp_bins *bins, bp_layout l, uint64_t *limb) {
    if (!bins->ready) return;
    for (int32_t i = bins->low; i <= bins->high; i++) {
        bp_i128 sum = bins->bank[0][i] + bins->bank[1][i];
        bins->bank[0][i] = bins->bank[1][i] = 0;
        if (sum == 0) continue;
        bp_u128 mag = sum < 0 ? 0 - (bp_u128)sum : (bp_u128)sum;
        bp_limbs_add_cut(limb, l.limbs, (int64_t)i - bp_bin_offset(s) - l.lsb, mag, sum < 0);
    }
    bins->low = INT32_MAX, bins->high = -1;
}

BP_INLINE int bp_one_by_one(bp_layout l, uint64_t *limb, size_t count, const bp_operand *x,
                            const bp_operand *y) {
    int lost = 0;
    for (size_t i = 0; i < count; i++) {
        uint64_t a = bp_body64(x->sig[i]), b = bp_body64(y->sig[i]);
        lost |= bp_limbs_add_cut(limb, l.limbs, (int64_t)x->scale[i] + y->scale[i] - l.lsb,
                                 (bp_u128)a * b, (x->sig[i] < 0) ^ (y->sig[i] < 0));
    }
    return lost ? BP_INEXACT : 0;
}

/* limb (or bins) += sum of x[i] * y[i]; returns flags. */
BP_INLINE int bp_block_dot(const bp_spec s, bp_layout l, uint64_t *limb, size_t count,
                           const bp_operand *x, const bp_operand *y, bp_bins *bins) {
    const int bits = 2 * (bp_f_max(s) + 1); /* of a product */
    enum { LOG2_BLOCK = 9 };
    _Static_assert(BP_BLOCK == 1 << LOG2_BLOCK, "the guard bits follow the block");
    int flags = x->nar | y->nar ? BP_NAR : 0;
    if (bits > 62) return flags | bp_one_by_one(l, limb, count, x, y);

    int64_t product[BP_BLOCK];
    int32_t scale[BP_BLOCK];
    int32_t low = INT32_MAX, high = INT32_MIN;
    for (size_t i = 0; i < count; i++) {
        product[i] = x->sig[i] * y->sig[i]; /* below 2^62 in magnitude */
        scale[i] = x->scale[i] + y->scale[i];
    }
    for (size_t i = 0; i < count; i++) {
        int32_t none = bp_nothing(s, x->sig[i]) | bp_nothing(s, y->sig[i]), t = scale[i];
        int32_t below = t ^ ((t ^ INT32_MAX) & none), above = t ^ ((t ^ INT32_MIN) & none);
        low = below < low ? below : low;
        high = above > high ? above : high;
    }
    if (low > high) return flags; /* all zero */
    int32_t window = high - low;
    bp_i128 sum = 0;
    if (!l.exact && low < l.lsb) { /* this layout drops bits product by product */
        return flags | bp_one_by_one(l, limb, count, x, y);
    } else if (bits + LOG2_BLOCK + window <= 63) {
        int64_t short_sum = 0;
        for (size_t i = 0; i < count; i++) {
            uint64_t shift = product[i] ? (uint64_t)(uint32_t)(scale[i] - low) : 0;
            short_sum += (int64_t)((uint64_t)product[i] << shift);
        }
        sum = short_sum;
    } else if (bp_bins_fit(s) && (count > BP_BLOCK / 4 || bits + LOG2_BLOCK + window > 127)) {
        bp_bins_add(s, bins, count, product, scale, low, high);
        return flags;
    } else if (bits + LOG2_BLOCK + window <= 127) { /* a flush costs as much as some 100 products */
        for (size_t i = 0; i < count; i++) {
            int shift = product[i] ? scale[i] - low : 0;
            sum += (bp_i128)((bp_u128)(bp_i128)product[i] << shift);
        }
    } else {
        return flags | bp_one_by_one(l, limb, count, x, y);
    }
    bp_u128 mag = sum < 0 ? 0 - (bp_u128)sum : (bp_u128)sum;
    bp_limbs_add_cut(limb, l.limbs, (int64_t)low - l.lsb, mag, sum < 0);
    return flags;
}

BP_INLINE void bp_close(bp_layout l, uint64_t *limb, int32_t *flags, int flag) {
    *flags |= flag | (bp_limbs_fit(limb, l) ? 0 : BP_NAR);
    if (*flags & BP_NAR) memset(limb, 0, (size_t)l.limbs * 8);
}

BP_INLINE void bp_dot(const bp_spec s, bp_layout l, uint64_t *limb, int32_t *flags, size_t count,
                      const void *a, ptrdiff_t sa, const void *b, ptrdiff_t sb) {
    const int size = bp_size(s);
    bp_buffer ra, rb;
    bp_operand x, y;
    bp_bins bins;
    bins.ready = 0;
    int flag = 0;
    for (size_t i = 0; i < count; i += BP_BLOCK) {
        size_t n = bp_step(count, i);
        bp_read(s, n, bp_gather(a, sa, i, n, size, &ra), &x);
        bp_read(s, n, bp_gather(b, sb, i, n, size, &rb), &y);
        flag |= bp_block_dot(s, l, limb, n, &x, &y, &bins);
    }
    bp_bins_flush(s, &bins, l, limb);
    bp_close(l, limb, flags, flag);
}

BP_CLONES void bp_quire_dot(bp_spec s, bp_layout l, uint64_t *limb, int32_t *flags, size_t count,
                            const void *a, ptrdiff_t sa, const void *b, ptrdiff_t sb) {
    BP_WITH_SPEC(s, bp_dot(S, l, limb, flags, count, a, sa, b, sb));
}

/* A sum is a dot product with ones: as many bits, and one code path to trust. */
BP_INLINE void bp_sum_one(const bp_spec s, bp_layout l, uint64_t *limb, int32_t *flags,
                          size_t count, const void *a, ptrdiff_t sa) {
    const int size = bp_size(s), f = bp_f_max(s);
    bp_buffer ra;
    bp_operand x, one;
    bp_bins bins;
    bins.ready = 0;
    for (size_t i = 0; i < BP_BLOCK; i++) one.sig[i] = (int64_t)1 << f, one.scale[i] = -f;
    one.nar = 0;
    int flag = 0;
    for (size_t i = 0; i < count; i += BP_BLOCK) {
        size_t n = bp_step(count, i);
        bp_read(s, n, bp_gather(a, sa, i, n, size, &ra), &x);
        flag |= bp_block_dot(s, l, limb, n, &x, &one, &bins);
    }
    bp_bins_flush(s, &bins, l, limb);
    bp_close(l, limb, flags, flag);
}

BP_CLONES void bp_quire_sum(bp_spec s, bp_layout l, uint64_t *limb, int32_t *flags, size_t count,
                            const void *a, ptrdiff_t sa) {
    BP_WITH_SPEC(s, bp_sum_one(S, l, limb, flags, count, a, sa));
}
