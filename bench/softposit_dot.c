/* Dot products as a user of SoftPosit writes them in C: one q*_fdp_add for each product. */
#include <stddef.h>

#include "softposit.h"

uint16_t softposit_dot16(size_t count, const uint16_t *a, const uint16_t *b) {
    quire16_t q = q16Clr();
    for (size_t i = 0; i < count; i++) q = q16_fdp_add(q, castP16(a[i]), castP16(b[i]));
    return castUI(q16_to_p16(q));
}

uint32_t softposit_dot32(size_t count, const uint32_t *a, const uint32_t *b) {
    quire32_t q = q32Clr();
    for (size_t i = 0; i < count; i++) q = q32_fdp_add(q, castP32(a[i]), castP32(b[i]));
    return castUI(q32_to_p32(q));
}
