/* Exact values as (significand, scale), the form in which arbitrary precision takes and gives
 * numbers: |value| = sig/2^63 * 2^scale with bit 63 of sig set, and sig = 0 for zero and NaR. */
#include "lanes.h"

BP_INLINE void bp_all_to_parts(const bp_spec s, size_t count, const void *bits, uint64_t *sig,
                               int64_t *scale) {
    for (size_t i = 0; i < count; i++) {
        bp_num64 u = bp_unpack64(bp_body64(bp_load(bits, i, bp_size(s))), s);
        sig[i] = u.sig;
        scale[i] = u.scale;
    }
}

BP_CLONES void bp_to_parts(bp_spec s, size_t count, const void *bits, uint64_t *sig,
                           int64_t *scale) {
    BP_WITH_SPEC(s, bp_all_to_parts(S, count, bits, sig, scale));
}

BP_INLINE void bp_all_from_parts(const bp_spec s, size_t count, const uint64_t *sig,
                                 const int64_t *scale, void *out) {
    for (size_t i = 0; i < count; i++) {
        int64_t p = (int64_t)bp_pack64(scale[i], sig[i], 0, s);
        bp_store(out, i, bp_size(s), sig[i] ? p : 0);
    }
}

/* A boundary of n <= 64 bits has at most 63 significant bits, so a magnitude that was rounded to
 * odd at 64 bits rounds here as the magnitude itself would. */
BP_CLONES void bp_from_parts(bp_spec s, size_t count, const uint64_t *sig, const int64_t *scale,
                             void *out) {
    BP_WITH_SPEC(s, bp_all_from_parts(S, count, sig, scale, out));
}
