/* Products of multivectors in floating point: bilinear forms whose few terms a table lists. */
#include "lanes.h"

enum { BP_LINES = 4 }; /* independent sums, to hide the latency of an addition */

#define BP_REAL float
#define BP_TYPED(name) name##_f32
#include "bilinear.h"
#undef BP_REAL
#undef BP_TYPED

#define BP_REAL double
#define BP_TYPED(name) name##_f64
#include "bilinear.h"
