/* Products of multivectors in floating point: bilinear forms whose few terms a table lists. */
#include "lanes.h"

enum { BP_LINES = 4 }; /* independent sums, to hide the latency of an addition */

/* BP_LOW and BP_HIGH: the first and the last halves of two 16-byte vectors, interleaved. */

#define BP_TYPED(name) name##_f32
#define BP_REAL float
#define BP_LOW(a, b) {a[0], b[0], a[1], b[1]}
#define BP_HIGH(a, b) {a[2], b[2], a[3], b[3]}
#include "bilinear.h"
#undef BP_TYPED
#undef BP_REAL
#undef BP_LOW
#undef BP_HIGH

#define BP_TYPED(name) name##_f64
#define BP_REAL double
#define BP_LOW(a, b) {a[0], b[0]}
#define BP_HIGH(a, b) {a[1], b[1]}
#include "bilinear.h"
