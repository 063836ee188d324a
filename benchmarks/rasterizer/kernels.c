/* The kernels of gs_esd/render in C, for a benchmark that compares the numba ones with them. The
 * renderer does not need this file.
 *
 * It is a translation: the same steps on the same arrays, under the same names, in the order of the
 * Python modules, which have the notation and the reasons. Arrays are bare addresses here, so their
 * sizes are arguments, too. c_kernels.py builds this and defines the constants that nothing here
 * does.
 *
 * Where C's vectors have no operator there is an intrinsic for x86, and plain C for the rest.
 */

#include <math.h>
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include <string.h>

#define INLINED static inline __attribute__((always_inline))

typedef int64_t i64;
typedef uint64_t u64;

INLINED i64 smaller(i64 x, i64 y) { return x < y ? x : y; }

/* ---------------------------------------------------------- simd.py, pixels.py: float32 numbers */

enum { LANES = 8, BLOCK_WIDTH = 4, BLOCK_HEIGHT = 2 };
typedef float v8 __attribute__((vector_size(32)));
typedef int32_t mask8 __attribute__((vector_size(32)));
typedef float v8_anywhere __attribute__((vector_size(32), aligned(4), may_alias));

INLINED v8 load(const float *p) { return *(const v8_anywhere *)p; }
INLINED void store(float *p, v8 x) { *(v8_anywhere *)p = x; }
INLINED v8 splat(float x) { return (v8){x, x, x, x, x, x, x, x}; }
INLINED v8 absolute(v8 x) { return (v8)((mask8)x & INT32_MAX); }
INLINED v8 or_zero(mask8 mask, v8 x) { return (v8)(mask & (mask8)x); }

#if defined(__AVX2__) && defined(__FMA__)
#include <immintrin.h>
INLINED v8 load_filled(const float *p) { return _mm256_broadcast_ss(p); }
INLINED v8 fma8(v8 x, v8 y, v8 z) { return _mm256_fmadd_ps(x, y, z); }
INLINED v8 sqrt8(v8 x) { return _mm256_sqrt_ps(x); }
INLINED v8 min8(v8 x, v8 y) { return _mm256_min_ps(x, y); }
INLINED v8 select8(mask8 mask, v8 x, v8 y) { return _mm256_blendv_ps(y, x, (v8)mask); }
INLINED u64 lane_bits(mask8 mask) { return (u64)_mm256_movemask_ps((v8)mask); }
#else
#if defined(FP_FAST_FMAF) || defined(__ARM_FEATURE_FMA)
#define FUSED(fma, x, y, z) fma(x, y, z)
#else
#define FUSED(fma, x, y, z) ((x) * (y) + (z))
#endif
INLINED v8 load_filled(const float *p) { return splat(*p); }
INLINED v8 fma8(v8 x, v8 y, v8 z) {
    for (int lane = 0; lane < LANES; lane++) z[lane] = FUSED(fmaf, x[lane], y[lane], z[lane]);
    return z;
}
INLINED v8 sqrt8(v8 x) {
    for (int lane = 0; lane < LANES; lane++) x[lane] = sqrtf(x[lane]);
    return x;
}
INLINED v8 select8(mask8 mask, v8 x, v8 y) { return (v8)((mask & (mask8)x) | (~mask & (mask8)y)); }
INLINED v8 min8(v8 x, v8 y) { return select8(x < y, x, y); }
INLINED u64 lane_bits(mask8 mask) {
    u64 bits = 0;
    for (int lane = 0; lane < LANES; lane++) bits |= (u64)(mask[lane] & 1) << lane;
    return bits;
}
#endif

#ifdef __clang__
#define SHUFFLE(x, y, ...) __builtin_shufflevector(x, y, __VA_ARGS__)
#else
#define SHUFFLE(x, y, ...) __builtin_shuffle(x, y, (mask8){__VA_ARGS__})
#endif

INLINED v8 fold_halves(v8 x, v8 y) {
    return SHUFFLE(x, y, 0, 1, 2, 3, 8, 9, 10, 11) + SHUFFLE(x, y, 4, 5, 6, 7, 12, 13, 14, 15);
}
INLINED v8 fold_quarters(v8 x, v8 y) {
    return SHUFFLE(x, y, 0, 1, 8, 9, 4, 5, 12, 13) + SHUFFLE(x, y, 2, 3, 10, 11, 6, 7, 14, 15);
}
INLINED v8 fold_eighths(v8 x, v8 y) {
    return SHUFFLE(x, y, 0, 2, 8, 10, 4, 6, 12, 14) + SHUFFLE(x, y, 1, 3, 9, 11, 5, 7, 13, 15);
}

INLINED v8 eight_sums(v8 a, v8 b, v8 c, v8 d, v8 e, v8 f, v8 g, v8 h) {
    v8 ab = fold_quarters(fold_halves(a, e), fold_halves(b, f));
    v8 cd = fold_quarters(fold_halves(c, g), fold_halves(d, h));
    return fold_eighths(ab, cd);
}

INLINED float lane_sum(v8 x) {
    v8 halves = fold_halves(x, x), quarters = fold_quarters(halves, halves);
    return quarters[0] + quarters[1];
}

/* Flat indices of the numbers of 4 x 2 pixels, beyond the image of those at its edge. */
typedef struct { i64 pixel[LANES]; } Pixels;

INLINED Pixels pixels_at(i64 first, i64 row_step, i64 step, i64 columns, i64 rows) {
    Pixels block;
    for (int lane = 0; lane < LANES; lane++)
        block.pixel[lane] = first + smaller(lane / BLOCK_WIDTH, rows - 1) * row_step
                            + smaller(lane % BLOCK_WIDTH, columns - 1) * step;
    return block;
}

INLINED v8 load_pixels(const float *array, Pixels at) {
    const i64 *p = at.pixel;
    return (v8){
        array[p[0]], array[p[1]], array[p[2]], array[p[3]],
        array[p[4]], array[p[5]], array[p[6]], array[p[7]],
    };
}

INLINED void store_pixels(float *array, Pixels at, v8 pixels) {
    for (int lane = LANES - 1; lane >= 0; lane--) array[at.pixel[lane]] = pixels[lane];
}

/* ------------------------------------------ simd.py, rows.py: float64 numbers of four Gaussians */

/* Python has eight, of two registers. Here vectors do not come apart well. */
enum { GAUSSIANS = 4 };
typedef double d4 __attribute__((vector_size(32)));
typedef int64_t mask4 __attribute__((vector_size(32)));
typedef float f4 __attribute__((vector_size(16)));
typedef int32_t i4 __attribute__((vector_size(16)));

INLINED d4 splat4(double x) { return (d4){x, x, x, x}; }
INLINED d4 or_zero4(mask4 mask, d4 x) { return (d4)(mask & (mask4)x); }

#if defined(__AVX2__) && defined(__FMA__)
INLINED d4 widened(f4 x) { return _mm256_cvtps_pd(x); }
INLINED d4 fma4(d4 x, d4 y, d4 z) { return _mm256_fmadd_pd(x, y, z); }
INLINED d4 sqrt4(d4 x) { return _mm256_sqrt_pd(x); }
INLINED d4 ceil4(d4 x) { return _mm256_ceil_pd(x); }
INLINED d4 floor4(d4 x) { return _mm256_floor_pd(x); }
INLINED d4 select4(mask4 mask, d4 x, d4 y) { return _mm256_blendv_pd(y, x, (d4)mask); }
INLINED d4 min4(d4 x, d4 y) { return _mm256_min_pd(x, y); }
INLINED d4 max4(d4 x, d4 y) { return _mm256_max_pd(x, y); }
INLINED bool any4(mask4 mask) { return _mm256_movemask_pd((d4)mask); }
#else
INLINED d4 select4(mask4 mask, d4 x, d4 y) { return (d4)((mask & (mask4)x) | (~mask & (mask4)y)); }
INLINED d4 widened(f4 x) { return __builtin_convertvector(x, d4); }
INLINED d4 fma4(d4 x, d4 y, d4 z) {
    for (int lane = 0; lane < 4; lane++) z[lane] = FUSED(fma, x[lane], y[lane], z[lane]);
    return z;
}
INLINED d4 sqrt4(d4 x) { return (d4){sqrt(x[0]), sqrt(x[1]), sqrt(x[2]), sqrt(x[3])}; }
INLINED d4 ceil4(d4 x) { return (d4){ceil(x[0]), ceil(x[1]), ceil(x[2]), ceil(x[3])}; }
INLINED d4 floor4(d4 x) { return (d4){floor(x[0]), floor(x[1]), floor(x[2]), floor(x[3])}; }
INLINED d4 min4(d4 x, d4 y) { return select4(x < y, x, y); }
INLINED d4 max4(d4 x, d4 y) { return select4(x > y, x, y); }
INLINED bool any4(mask4 mask) { return mask[0] | mask[1] | mask[2] | mask[3]; }
#endif

/* m from sqrt(1/2) to sqrt(2), and n such that x = m 2^n; the exponent begins at bit 52. */
INLINED d4 log4(d4 x) {
    mask4 number = (mask4)x, over = number - 0x3FE6A09E667F3BCD;
    d4 m = (d4)(number - (over & ~(((i64)1 << 52) - 1)));
    d4 n = __builtin_convertvector(__builtin_convertvector(over >> 52, i4), d4);
    d4 r = (m - 1) / (m + 1), series = splat4(2.0 / 15);
    for (int k = 13; k > 0; k -= 2) series = fma4(series, r * r, splat4(2.0 / k));
    return fma4(r, series, n * 0.6931471805599453);
}

typedef struct { d4 x, y; } Two;
typedef struct { d4 x, y, z; } Three;
typedef struct { d4 w, x, y, z; } Four;

/* Four rows of an array; those past the last one are it. */
typedef struct { i64 a, b, c, d; } Group;

INLINED Group group_of(i64 first, i64 last) {
    return (Group){
        first, smaller(first + 1, last), smaller(first + 2, last), smaller(first + 3, last)
    };
}

INLINED d4 load_column(const float *array, i64 columns, Group rows, i64 k) {
    f4 column = {
        array[rows.a * columns + k], array[rows.b * columns + k],
        array[rows.c * columns + k], array[rows.d * columns + k],
    };
    return widened(column);
}

INLINED Two load_two(const float *array, Group rows) {
    return (Two){load_column(array, 2, rows, 0), load_column(array, 2, rows, 1)};
}

INLINED Three load_three(const float *array, Group rows) {
    return (Three){
        load_column(array, 3, rows, 0),
        load_column(array, 3, rows, 1),
        load_column(array, 3, rows, 2),
    };
}

INLINED Four load_four(const float *array, Group rows) {
    return (Four){
        load_column(array, 4, rows, 0), load_column(array, 4, rows, 1),
        load_column(array, 4, rows, 2), load_column(array, 4, rows, 3),
    };
}

INLINED void store_column(float *array, i64 columns, Group rows, i64 k, d4 values) {
    f4 column = __builtin_convertvector(values, f4);
    array[rows.a * columns + k] = column[0], array[rows.b * columns + k] = column[1];
    array[rows.c * columns + k] = column[2], array[rows.d * columns + k] = column[3];
}

INLINED void store_integers(int32_t *array, i64 columns, Group rows, i64 k, d4 values) {
    i4 column = __builtin_convertvector(values, i4);
    array[rows.a * columns + k] = column[0], array[rows.b * columns + k] = column[1];
    array[rows.c * columns + k] = column[2], array[rows.d * columns + k] = column[3];
}

INLINED void store_three(float *array, Group rows, Three values) {
    store_column(array, 3, rows, 0, values.x);
    store_column(array, 3, rows, 1, values.y);
    store_column(array, 3, rows, 2, values.z);
}

INLINED Two load_radii(const int32_t *array, Group rows) {
    i4 x = {array[2 * rows.a], array[2 * rows.b], array[2 * rows.c], array[2 * rows.d]};
    i4 y = {
        array[2 * rows.a + 1], array[2 * rows.b + 1], array[2 * rows.c + 1], array[2 * rows.d + 1]
    };
    return (Two){__builtin_convertvector(x, d4), __builtin_convertvector(y, d4)};
}

/* ------------------------------------------------------------------------------------- tiles.py */

enum { DIGITS = 1 << DIGIT_BITS, ROW = 16, U = 2, COLOR = 6, BOX = 4 };

/* First and last tile of one axis. */
INLINED Two tile_range(d4 mean, d4 variance, d4 reach, mask4 valid, d4 limit, double pixels) {
    d4 extent = min4(limit, EXTENT_SLACK * sqrt4(reach * variance));
    extent = select4(valid, extent, limit);
    d4 low = min4(max4(ceil4(mean - extent), splat4(0)), splat4(pixels)) / TILE;
    d4 high = max4(min4(mean + extent, splat4(pixels - 1)), splat4(-1)) / TILE;
    return (Two){floor4(low), floor4(high)};
}

void measure(
    i64 part, i64 parts, i64 C, i64 N, i64 channels, i64 chunks, i64 width, i64 height,
    i64 columns, i64 tiles, const float *restrict means2d, const float *restrict conics,
    const float *restrict colors, const float *restrict opacities, const int32_t *restrict radii,
    float *restrict shapes, int32_t *restrict boxes, i64 *restrict counts
) {
    for (i64 item = part; item < C * chunks; item += parts) {
        i64 camera = item / chunks, first = camera * N + item % chunks * TILES_CHUNK;
        i64 end = smaller(first + TILES_CHUNK, (camera + 1) * N);
        for (i64 g = first; g < end; g += GAUSSIANS) {
            Group rows = group_of(g, end - 1);
            Three conic = load_three(conics, rows);
            Two mean = load_two(means2d, rows), radius = load_radii(radii, rows);
            d4 a = conic.x, b = conic.y, c = conic.z, x = mean.x - 0.5, y = mean.y - 0.5;
            d4 u = sqrt4(0.5 * a), v = or_zero4(u > 0, 0.5 * b / u);
            d4 w = max4(0.5 * c - v * v, splat4(0));
            d4 fade = -log4(load_column(opacities, 1, rows, 0));
            d4 det = a * c - b * b, reach = max4(2 * (S_MAX - fade), splat4(0)) / det;
            Two across = tile_range(x, c, reach, det > 0, radius.x, (double)width);
            Two down = tile_range(y, a, reach, det > 0, radius.y, (double)height);
            const d4 shape[6] = {x, y, u, v, w, fade};
            const d4 box[4] = {across.x, down.x, across.y, down.y};
            for (int k = 0; k < 6; k++) store_column(shapes, ROW, rows, k, shape[k]);
            for (i64 k = 0; k < 3; k++) {
                d4 color = load_column(colors, channels, rows, k < channels ? k : 0);
                store_column(shapes, ROW, rows, COLOR + k, color);
            }
            for (int k = 0; k < 4; k++) store_integers(boxes, BOX, rows, k, box[k]);
        }
        i64 *count = counts + item * tiles;
        for (i64 g = first; g < end; g++) {
            if (radii[2 * g] <= 0 || radii[2 * g + 1] <= 0) continue;
            const int32_t *box = boxes + g * BOX;
            for (i64 row = box[1]; row <= box[3]; row++)
                for (i64 tile = row * columns + box[0]; tile <= row * columns + box[2]; tile++)
                    count[tile]++;
        }
    }
}

void sort(
    i64 part, i64 parts, i64 C, i64 N, const int32_t *restrict depths,
    const int32_t *restrict radii, i64 *keys, i64 *other, i64 *restrict starts,
    int32_t *restrict order, i64 *restrict drawn
) {
    enum { STRIDE = DIGITS + 1 };
    for (i64 camera = part; camera < C; camera += parts) {
        memset(starts, 0, 3 * STRIDE * sizeof *starts);
        i64 count = 0;
        for (i64 g = 0; g < N; g++) {
            i64 i = camera * N + g;
            if (radii[2 * i] <= 0 || radii[2 * i + 1] <= 0) continue;
            i64 key = depths[i];
            keys[count++] = key << 32 | g;
            for (int digit = 0; digit < 3; digit++)
                starts[digit * STRIDE + (key >> digit * DIGIT_BITS & (DIGITS - 1)) + 1]++;
        }
        for (int digit = 0; digit < 3; digit++) {
            i64 *places = starts + digit * STRIDE;
            for (i64 i = 0; i < DIGITS - 1; i++) places[i + 1] += places[i];
            for (i64 i = 0; i < count; i++)
                other[places[keys[i] >> (32 + digit * DIGIT_BITS) & (DIGITS - 1)]++] = keys[i];
            i64 *sorted = other;
            other = keys, keys = sorted;
        }
        for (i64 i = 0; i < count; i++) order[camera * N + i] = (int32_t)keys[i];
        drawn[camera] = count;
    }
}

void deal(
    i64 first_row, i64 end_row, i64 C, i64 N, i64 columns, i64 rows, const int32_t *restrict boxes,
    const int32_t *restrict order, const i64 *restrict drawn, i64 *restrict cursors,
    int32_t *restrict members
) {
    for (i64 camera = 0; camera < C; camera++) {
        const int32_t *ranked = order + camera * N, *camera_boxes = boxes + camera * N * BOX;
        i64 *cursor = cursors + camera * rows * columns, end = drawn[camera];
        for (i64 rank = 0; rank < end; rank++) {
            i64 soon = ranked[rank + TILES_AHEAD < end ? rank + TILES_AHEAD : rank];
            __builtin_prefetch(camera_boxes + soon * BOX);
            int32_t g = ranked[rank];
            const int32_t *box = camera_boxes + g * (i64)BOX;
            i64 row = box[1] < first_row ? first_row : box[1];
            for (; row <= box[3] && row < end_row; row++)
                for (i64 tile = row * columns + box[0]; tile <= row * columns + box[2]; tile++)
                    members[cursor[tile]++] = g;
        }
    }
}

/* ---------------------------------------------------------------------------- blending_maths.py */

enum { P = TILE * TILE, BLOCK_COLUMNS = TILE / BLOCK_WIDTH, BLOCK_ROWS = TILE / BLOCK_HEIGHT };
enum { BLOCKS = BLOCK_COLUMNS * BLOCK_ROWS };

/* See Constants in Python: a row of numbers, in this order. */
typedef struct { v8 decay[6], one, alpha_max, transmittance_min, s_max; } Constants;
typedef struct { v8 x, y, u, v, w, fade; } Shape;
typedef struct { i64 camera, left, top, columns, rows; } Place;
typedef struct { v8 root, uncapped, alpha, weight, after; mask8 drawn; } Covered;

INLINED Constants load_constants(const float *numbers) {
    Constants c;
    for (int k = 0; k < 6; k++) c.decay[k] = load_filled(numbers + k);
    c.one = load_filled(numbers + 6), c.alpha_max = load_filled(numbers + 7);
    c.transmittance_min = load_filled(numbers + 8), c.s_max = load_filled(numbers + 9);
    return c;
}

INLINED v8 exp_minus(v8 s, const v8 *decay) {
    v8 square = s * s;
    v8 high = fma8(s, decay[0], decay[1]), middle = fma8(s, decay[2], decay[3]);
    v8 p = fma8(square, fma8(square, high, middle), fma8(s, decay[4], decay[5]));
    p = p * p;
    p = p * p;
    return p * p;
}

INLINED Shape shape_in_tile(const float *row, Place at) {
    return (Shape){
        load_filled(row + 0) - splat((float)at.left), load_filled(row + 1) - splat((float)at.top),
        load_filled(row + 2), load_filled(row + 3), load_filled(row + 4), load_filled(row + 5),
    };
}

INLINED u64 blocks_reached(Shape shape) {
    const v8 lanes = {0, 1, 2, 3, 4, 5, 6, 7};
    v8 limit = (float)(S_MAX + MARGIN) - shape.fade;
    v8 even = shape.y - 2 * lanes, odd = shape.y - (2 * lanes + 1);
    v8 even_reach = sqrt8(limit - shape.w * even * even);
    v8 odd_reach = sqrt8(limit - shape.w * odd * odd);
    u64 blocks = 0;
    for (int column = 0; column < BLOCK_COLUMNS; column++) {
        v8 first = shape.u * (shape.x - 4.0f * column);
        v8 last = shape.u * (shape.x - (4.0f * column + 3));
        mask8 even_reached = (fma8(shape.v, even, last) <= even_reach)
                             & (-even_reach <= fma8(shape.v, even, first));
        mask8 odd_reached = (fma8(shape.v, odd, last) <= odd_reach)
                            & (-odd_reach <= fma8(shape.v, odd, first));
        blocks |= lane_bits(even_reached | odd_reached) << BLOCK_ROWS * column;
    }
    return blocks;
}

INLINED Covered cover(v8 dx, v8 dy, const Shape *shape, v8 T, const Constants *c) {
    v8 root = fma8(shape->v, dy, shape->u * dx);
    v8 s = fma8(root, root, fma8(shape->w * dy, dy, shape->fade));
    v8 uncapped = exp_minus(s, c->decay);
    v8 alpha = or_zero(s <= c->s_max, min8(uncapped, c->alpha_max));
    v8 weight = alpha * T, after = T - weight;
    mask8 drawn = after > c->transmittance_min;
    after = select8(drawn, after, -absolute(T));
    return (Covered){root, uncapped, alpha, or_zero(drawn, weight), after, drawn};
}

INLINED Place tile_place(i64 tile, i64 width, i64 height) {
    i64 columns = (width + TILE - 1) / TILE, rows = (height + TILE - 1) / TILE;
    i64 camera = tile / (columns * rows), index = tile % (columns * rows);
    i64 left = index % columns * TILE, top = index / columns * TILE;
    return (Place){camera, left, top, smaller(width - left, TILE), smaller(height - top, TILE)};
}

INLINED void open_tile(float *T, const float *pixel_x, const float *pixel_y, Place at) {
    for (i64 i = 0; i < P; i += LANES) {
        v8 x = load(pixel_x + i), y = load(pixel_y + i);
        store(T + i, or_zero((x < (float)at.columns) & (y < (float)at.rows), splat(1)));
    }
}

INLINED u64 open_blocks(const float *T) {
    u64 blocks = 0;
    for (int block = 0; block < BLOCKS; block++)
        if (lane_bits(load(T + block * LANES) > 0)) blocks |= (u64)1 << block;
    return blocks;
}

/* -------------------------------------------------------------------------- blending_forward.py */

INLINED void blend_tile(
    i64 tile, Place at, i64 N, i64 channels, bool more, const float *restrict shapes,
    const i64 *restrict tile_starts, const int32_t *restrict members,
    const float *restrict pixel_x, const float *restrict pixel_y, const float *restrict numbers,
    float *restrict T, float *restrict sums, const float *restrict colors,
    uint32_t *restrict visited
) {
    const Constants constants = load_constants(numbers);
    i64 start = tile_starts[tile], end = tile_starts[tile + 1];
    u64 unfinished = 0;
    shapes += at.camera * N * ROW, colors += at.camera * N * channels;
    for (i64 m = start; m < end; m++) {
        if ((m - start) % CHECK_EVERY == 0) unfinished = open_blocks(T);
        if (unfinished == 0) {
            visited[m] = 0;
            continue;
        }
        i64 g = members[m], soon = members[m + BLENDING_AHEAD < end ? m + BLENDING_AHEAD : m];
        __builtin_prefetch(shapes + soon * ROW);
        const float *row = shapes + g * ROW;
        const Shape shape = shape_in_tile(row, at);
        const v8 red = load_filled(row + COLOR), green = load_filled(row + COLOR + 1);
        const v8 blue = load_filled(row + COLOR + 2);
        u64 blocks = blocks_reached(shape) & unfinished;
        visited[m] = (uint32_t)blocks;
        for (; blocks; blocks &= blocks - 1) {
            i64 i = __builtin_ctzll(blocks) * LANES;
            v8 dx = shape.x - load(pixel_x + i), dy = shape.y - load(pixel_y + i);
            Covered covered = cover(dx, dy, &shape, load(T + i), &constants);
            store(T + i, covered.after);
            store(sums + i, fma8(covered.weight, red, load(sums + i)));
            store(sums + P + i, fma8(covered.weight, green, load(sums + P + i)));
            store(sums + 2 * P + i, fma8(covered.weight, blue, load(sums + 2 * P + i)));
            if (!more) continue;
            for (i64 k = 3; k < channels; k++) {
                v8 color = load_filled(colors + g * channels + k);
                store(sums + k * P + i, fma8(covered.weight, color, load(sums + k * P + i)));
            }
        }
    }
}

INLINED void write_tile(
    Place at, i64 channels, i64 width, i64 height, const float *restrict T,
    const float *restrict sums, const float *restrict backgrounds, float *restrict image,
    float *restrict alphas
) {
    for (int block = 0; block < BLOCKS; block++) {
        i64 x = block / BLOCK_ROWS * BLOCK_WIDTH, y = block % BLOCK_ROWS * BLOCK_HEIGHT;
        if (x >= at.columns || y >= at.rows) continue;
        i64 columns = at.columns - x, rows = at.rows - y;
        i64 i = block * LANES, first = (at.camera * height + at.top + y) * width + at.left + x;
        v8 alpha = 1 - absolute(load(T + i));
        store_pixels(alphas, pixels_at(first, width, 1, columns, rows), alpha);
        Pixels colors = pixels_at(first * channels, width * channels, channels, columns, rows);
        for (i64 k = 0; k < channels; k++) {
            v8 background = (1 - alpha) * load_filled(backgrounds + at.camera * channels + k);
            store_pixels(image + k, colors, load(sums + k * P + i) + background);
        }
    }
}

void blend_forward(
    i64 part, i64 parts, i64 N, i64 channels, i64 width, i64 height, i64 items,
    const float *restrict shapes, const i64 *restrict tile_starts, const int32_t *restrict members,
    const i64 *restrict work_order, const float *restrict pixel_x, const float *restrict pixel_y,
    const float *restrict numbers, float *restrict T, float *restrict sums,
    const float *restrict colors, const float *restrict backgrounds, float *restrict image,
    float *restrict alphas, uint32_t *restrict visited
) {
    for (i64 item = part; item < items; item += parts) {
        i64 tile = work_order[item];
        Place at = tile_place(tile, width, height);
        open_tile(T, pixel_x, pixel_y, at);
        memset(sums, 0, (channels > 3 ? channels : 3) * P * sizeof *sums);
        if (channels > 3)
            blend_tile(tile, at, N, channels, true, shapes, tile_starts, members, pixel_x, pixel_y,
                       numbers, T, sums, colors, visited);
        else
            blend_tile(tile, at, N, channels, false, shapes, tile_starts, members, pixel_x, pixel_y,
                       numbers, T, sums, colors, visited);
        write_tile(at, channels, width, height, T, sums, backgrounds, image, alphas);
    }
}

/* ------------------------------------------------------------------------- blending_backward.py */

enum { MOMENTS = 6 };

INLINED void gradients_of_tile(
    i64 tile, Place at, i64 N, i64 channels, i64 length, bool more, bool absgrad,
    const float *restrict shapes, const i64 *restrict tile_starts, const int32_t *restrict members,
    const float *restrict pixel_x, const float *restrict pixel_y, const float *restrict numbers,
    float *restrict T, float *restrict behind, const float *restrict V, float *restrict v_color,
    const float *restrict colors, const uint32_t *restrict visited, float *restrict rows_of_sums
) {
    const Constants constants = load_constants(numbers);
    i64 end = tile_starts[tile + 1];
    shapes += at.camera * N * ROW, colors += at.camera * N * channels;
    for (i64 m = tile_starts[tile]; m < end; m++) {
        u64 blocks = visited[m];
        if (!blocks) continue;
        i64 g = members[m], soon = members[m + BLENDING_AHEAD < end ? m + BLENDING_AHEAD : m];
        __builtin_prefetch(shapes + soon * ROW);
        const float *row = shapes + g * ROW;
        const Shape shape = shape_in_tile(row, at);
        const v8 red = load_filled(row + COLOR), green = load_filled(row + COLOR + 1);
        const v8 blue = load_filled(row + COLOR + 2);
        v8 x = {0}, y = {0}, xx = {0}, xy = {0}, yy = {0}, one = {0};
        v8 v_red = {0}, v_green = {0}, v_blue = {0}, along_x = {0}, along_y = {0};
        if (more) memset(v_color, 0, channels * LANES * sizeof *v_color);
        for (; blocks; blocks &= blocks - 1) {
            i64 i = __builtin_ctzll(blocks) * LANES;
            v8 dx = shape.x - load(pixel_x + i), dy = shape.y - load(pixel_y + i);
            Covered covered = cover(dx, dy, &shape, load(T + i), &constants);
            store(T + i, covered.after);
            v8 V_red = load(V + i), V_green = load(V + P + i), V_blue = load(V + 2 * P + i);
            v8 color_V = fma8(V_blue, blue, fma8(V_green, green, V_red * red));
            v_red = fma8(covered.weight, V_red, v_red);
            v_green = fma8(covered.weight, V_green, v_green);
            v_blue = fma8(covered.weight, V_blue, v_blue);
            for (i64 k = 3; more && k < channels; k++) {
                v8 V_k = load(V + k * P + i);
                color_V = fma8(V_k, load_filled(colors + g * channels + k), color_V);
                store(v_color + k * LANES, fma8(covered.weight, V_k, load(v_color + k * LANES)));
            }

            v8 own = covered.weight * color_V, before = load(behind + i);
            store(behind + i, before - own);
            v8 v_s = covered.alpha * before - own;
            v_s *= constants.one / (constants.one - covered.alpha);
            v_s = or_zero(covered.drawn & (covered.uncapped <= constants.alpha_max), v_s);
            v8 v_x = v_s * dx, v_y = v_s * dy;
            x += v_x, y += v_y, one += v_s;
            xx = fma8(v_x, dx, xx), xy = fma8(v_x, dy, xy), yy = fma8(v_y, dy, yy);
            if (absgrad) {
                along_x += absolute(v_s * covered.root);
                along_y += absolute(v_s * fma8(covered.root, shape.v, shape.w * dy));
            }
        }
        float *sums = rows_of_sums + m * length;
        store(sums, eight_sums(x, y, xx, xy, yy, one, v_red, v_green));
        if (channels > 2) sums[MOMENTS + 2] = lane_sum(v_blue);
        for (i64 k = 3; more && k < channels; k++)
            sums[MOMENTS + k] = lane_sum(load(v_color + k * LANES));
        if (absgrad) {
            sums[MOMENTS + channels] = lane_sum(along_x);
            sums[MOMENTS + channels + 1] = lane_sum(along_y);
        }
    }
}

INLINED void read_tile(
    Place at, i64 channels, i64 width, i64 height, const float *restrict image,
    const float *restrict alphas, const float *restrict v_image, const float *restrict v_alphas,
    float *restrict behind, float *restrict V
) {
    for (int block = 0; block < BLOCKS; block++) {
        i64 x = block / BLOCK_ROWS * BLOCK_WIDTH, y = block % BLOCK_ROWS * BLOCK_HEIGHT;
        if (x >= at.columns || y >= at.rows) continue;
        i64 columns = at.columns - x, rows = at.rows - y;
        i64 i = block * LANES, first = (at.camera * height + at.top + y) * width + at.left + x;
        Pixels pixels = pixels_at(first, width, 1, columns, rows);
        Pixels colors = pixels_at(first * channels, width * channels, channels, columns, rows);
        v8 total = (load_pixels(alphas, pixels) - 1) * load_pixels(v_alphas, pixels);
        for (i64 k = 0; k < channels; k++) {
            v8 V_k = load_pixels(v_image + k, colors);
            total = fma8(V_k, load_pixels(image + k, colors), total);
            store(V + k * P + i, V_k);
        }
        store(behind + i, total);
    }
}

void blend_backward(
    i64 part, i64 parts, i64 N, i64 channels, i64 width, i64 height, i64 items, i64 length,
    i64 absgrad, const float *restrict shapes, const i64 *restrict tile_starts,
    const int32_t *restrict members, const i64 *restrict work_order, const float *restrict pixel_x,
    const float *restrict pixel_y, const float *restrict numbers, float *restrict T,
    float *restrict behind, float *restrict V, float *restrict v_color,
    const float *restrict colors, const float *restrict image, const float *restrict alphas,
    const float *restrict v_image, const float *restrict v_alphas,
    const uint32_t *restrict visited, float *restrict rows_of_sums
) {
    for (i64 item = part; item < items; item += parts) {
        i64 tile = work_order[item];
        Place at = tile_place(tile, width, height);
        open_tile(T, pixel_x, pixel_y, at);
        read_tile(at, channels, width, height, image, alphas, v_image, v_alphas, behind, V);
#define GRADIENTS(more, absgrad) \
    gradients_of_tile(tile, at, N, channels, length, more, absgrad, shapes, tile_starts, \
                      members, pixel_x, pixel_y, numbers, T, behind, V, v_color, colors, visited, \
                      rows_of_sums)
        if (channels > 3 && absgrad) GRADIENTS(true, true);
        else if (channels > 3) GRADIENTS(true, false);
        else if (absgrad) GRADIENTS(false, true);
        else GRADIENTS(false, false);
#undef GRADIENTS
    }
}

/* ----------------------------------------------------------------------------- gradient_sums.py */

void sum_visits(
    i64 part, i64 parts, i64 C, i64 N, i64 channels, i64 tiles, i64 length, i64 absgrad,
    const float *restrict shapes, const i64 *restrict tile_starts, const int32_t *restrict members,
    const uint32_t *restrict visited, const float *restrict rows_of_sums,
    const float *restrict conics, const float *restrict opacities, int32_t *restrict chosen,
    float *restrict totals, float *restrict v_means2d, float *restrict v_conics, float *restrict v_colors,
    float *restrict v_opacities, float *restrict v_absolute
) {
    i64 low = N * part / parts, high = N * (part + 1) / parts;
    for (i64 camera = 0; camera < C; camera++) {
        memset(totals + low * length, 0, (high - low) * length * sizeof *totals);
        i64 end = tile_starts[(camera + 1) * tiles], count = 0;
        for (i64 m = tile_starts[camera * tiles]; m < end; m++) {
            chosen[count] = m;
            count += (low <= members[m]) & (members[m] < high) & (visited[m] != 0);
        }
        for (i64 i = 0; i < count; i++) {
            i64 soon = i + 2 * BLENDING_AHEAD < count ? i + 2 * BLENDING_AHEAD : i;
            __builtin_prefetch(totals + members[chosen[soon]] * length);
            float *total = totals + members[chosen[i]] * length;
            const float *sums = rows_of_sums + chosen[i] * length;
            store(total, load(total) + load(sums));
            for (i64 k = LANES; k < length; k++) total[k] += sums[k];
        }
        for (i64 g = low; g < high; g++) {
            i64 i = camera * N + g;
            const float *total = totals + g * length;
            float a = conics[3 * i], b = conics[3 * i + 1], c = conics[3 * i + 2];
            v_means2d[2 * i] = a * total[0] + b * total[1];
            v_means2d[2 * i + 1] = b * total[0] + c * total[1];
            v_conics[3 * i] = 0.5f * total[2];
            v_conics[3 * i + 1] = total[3];
            v_conics[3 * i + 2] = 0.5f * total[4];
            v_opacities[i] = total[5] != 0 ? -total[5] / opacities[i] : 0;
            for (i64 k = 0; k < channels; k++) v_colors[i * channels + k] = total[MOMENTS + k];
            if (absgrad) {
                float u = shapes[i * ROW + U];
                v_absolute[2 * i] = (u + u) * total[MOMENTS + channels];
                v_absolute[2 * i + 1] = 2 * total[MOMENTS + channels + 1];
            }
        }
    }
}

/* -------------------------------------------------------------------------- projection_maths.py */

enum { CAMERA_NUMBERS = 20, VIEW_NUMBERS = 12 };
typedef struct { Three x, y, z; } Rows;
typedef struct { d4 xx, xy, yy, det, inverse_det, sharp_det; } Covariance;

INLINED d4 dot(Three a, Three b) { return fma4(a.x, b.x, fma4(a.y, b.y, a.z * b.z)); }
INLINED Three scaled(d4 p, Three a) { return (Three){p * a.x, p * a.y, p * a.z}; }
INLINED Three added(Three a, Three b) { return (Three){a.x + b.x, a.y + b.y, a.z + b.z}; }
INLINED Three apply(Rows A, Three b) { return (Three){dot(A.x, b), dot(A.y, b), dot(A.z, b)}; }

INLINED Three where(mask4 mask, Three a) {
    return (Three){or_zero4(mask, a.x), or_zero4(mask, a.y), or_zero4(mask, a.z)};
}

INLINED Three cross(Three a, Three b) {
    return (Three){a.y * b.z - a.z * b.y, a.z * b.x - a.x * b.z, a.x * b.y - a.y * b.x};
}

INLINED Rows transposed(Rows A) {
    return (Rows){{A.x.x, A.y.x, A.z.x}, {A.x.y, A.y.y, A.z.y}, {A.x.z, A.y.z, A.z.z}};
}

INLINED Rows multiply(Rows A, Rows B) {
    Rows columns = transposed(B);
    return (Rows){apply(columns, A.x), apply(columns, A.y), apply(columns, A.z)};
}

INLINED Three times(Three a, Three b) { return (Three){a.x * b.x, a.y * b.y, a.z * b.z}; }

INLINED Rows scale_columns(Rows A, Three s) {
    return (Rows){times(A.x, s), times(A.y, s), times(A.z, s)};
}

INLINED Rows add_rows(Rows A, Rows B) {
    return (Rows){added(A.x, B.x), added(A.y, B.y), added(A.z, B.z)};
}

INLINED Rows rotation(Four q) {
    d4 w = q.w, x = q.x, y = q.y, z = q.z, s = 2 / (w * w + x * x + y * y + z * z);
    return (Rows){
        {1 - s * (y * y + z * z), s * (x * y - w * z), s * (x * z + w * y)},
        {s * (x * y + w * z), 1 - s * (x * x + z * z), s * (y * z - w * x)},
        {s * (x * z - w * y), s * (y * z + w * x), 1 - s * (x * x + y * y)},
    };
}

INLINED Four rotation_vjp(Four q, Rows G) {
    d4 w = q.w, x = q.x, y = q.y, z = q.z, s = 2 / (w * w + x * x + y * y + z * z);
    d4 v_w = x * (G.z.y - G.y.z) + y * (G.x.z - G.z.x) + z * (G.y.x - G.x.y);
    d4 v_x = y * (G.x.y + G.y.x) + z * (G.x.z + G.z.x) + w * (G.z.y - G.y.z)
             - 2 * x * (G.y.y + G.z.z);
    d4 v_y = x * (G.x.y + G.y.x) + z * (G.y.z + G.z.y) + w * (G.x.z - G.z.x)
             - 2 * y * (G.x.x + G.z.z);
    d4 v_z = x * (G.x.z + G.z.x) + y * (G.y.z + G.z.y) + w * (G.y.x - G.x.y)
             - 2 * z * (G.x.x + G.y.y);
    d4 along = 0.5 * s * (v_w * w + v_x * x + v_y * y + v_z * z);
    return (Four){
        s * (v_w - along * w), s * (v_x - along * x), s * (v_y - along * y), s * (v_z - along * z)
    };
}

INLINED Three flatten_axis(Three A_i, Three A_z, d4 f, d4 s) {
    return scaled(f, added(A_i, scaled(-s, A_z)));
}

typedef struct { Three v_A_i, v_A_z; d4 v_f, v_s; } AxisGradient;

INLINED AxisGradient flatten_axis_vjp(Three A_i, Three A_z, d4 f, d4 s, Three v_U) {
    d4 along = dot(v_U, A_i), across = dot(v_U, A_z);
    Three v_A_i = scaled(f, v_U);
    return (AxisGradient){v_A_i, scaled(-s, v_A_i), along - s * across, -f * across};
}

INLINED Covariance covariance(Three U_x, Three U_y, d4 eps2d) {
    d4 xx = dot(U_x, U_x), xy = dot(U_x, U_y), yy = dot(U_y, U_y);
    Three normal = cross(U_x, U_y);
    d4 sharp_det = dot(normal, normal);
    d4 det = sharp_det + eps2d * (xx + yy) + eps2d * eps2d;
    return (Covariance){xx + eps2d, xy, yy + eps2d, det, 1 / det, sharp_det};
}

INLINED Three conic_of(Covariance cov2d) {
    d4 inverse = cov2d.inverse_det;
    return (Three){cov2d.yy * inverse, -cov2d.xy * inverse, cov2d.xx * inverse};
}

INLINED Three conic_vjp(Three conic, Three v_conic) {
    d4 a = conic.x, b = conic.y, c = conic.z;
    d4 v_a = v_conic.x, half_v_b = 0.5 * v_conic.y, v_c = v_conic.z;
    d4 top = a * v_a + b * half_v_b, corner = a * half_v_b + b * v_c;
    d4 low = b * v_a + c * half_v_b, bottom = b * half_v_b + c * v_c;
    return (Three){-(top * a + corner * b), -2 * (top * b + corner * c), -(low * b + bottom * c)};
}

INLINED Three compensation_vjp(Covariance cov2d, d4 eps2d, d4 v_rho) {
    d4 ratio = cov2d.sharp_det * cov2d.inverse_det;
    d4 v_det = or_zero4(ratio > 0, 0.5 * v_rho * cov2d.inverse_det / sqrt4(ratio));
    return (Three){
        v_det * (cov2d.yy - eps2d - ratio * cov2d.yy),
        -2 * v_det * cov2d.xy * (1 - ratio),
        v_det * (cov2d.xx - eps2d - ratio * cov2d.xx),
    };
}

INLINED Two box_radii(d4 xx, d4 yy, d4 alpha) {
    d4 logarithm = log4(max4(alpha * (1 / ALPHA_MIN), splat4(1)));
    d4 sigmas_squared = min4(splat4(MAX_SIGMAS * MAX_SIGMAS), 2 * logarithm);
    return (Two){ceil4(sqrt4(sigmas_squared * xx)), ceil4(sqrt4(sigmas_squared * yy))};
}

/* ------------------------------------------------------------------------ projection_kernels.py */

typedef struct {
    double width, height, near_plane, far_plane, radius_clip, eps2d, antialiased;
} Limits;
typedef struct { Rows W; Three t; Two focal, centre, low_slope, high_slope; } Camera;
typedef struct {
    Three p; Rows A; d4 inverse_z; Two slope, held, f; Three U_x, U_y; Covariance cov2d;
} View;

INLINED Two two_of(const double *row) { return (Two){splat4(row[0]), splat4(row[1])}; }

INLINED Three three_of(const double *row) {
    return (Three){splat4(row[0]), splat4(row[1]), splat4(row[2])};
}

INLINED Camera camera_of(const double *row) {
    return (Camera){
        {three_of(row), three_of(row + 3), three_of(row + 6)}, three_of(row + 9), two_of(row + 12),
        two_of(row + 14), two_of(row + 16), two_of(row + 18),
    };
}

INLINED View view_of(Camera camera, Rows M, Three mean, d4 eps2d) {
    View view = {.p = added(apply(camera.W, mean), camera.t), .A = multiply(camera.W, M)};
    view.inverse_z = 1 / view.p.z;
    view.slope = (Two){view.p.x * view.inverse_z, view.p.y * view.inverse_z};
    view.f = (Two){camera.focal.x * view.inverse_z, camera.focal.y * view.inverse_z};
    view.held.x = min4(max4(view.slope.x, camera.low_slope.x), camera.high_slope.x);
    view.held.y = min4(max4(view.slope.y, camera.low_slope.y), camera.high_slope.y);
    view.U_x = flatten_axis(view.A.x, view.A.z, view.f.x, view.held.x);
    view.U_y = flatten_axis(view.A.y, view.A.z, view.f.y, view.held.y);
    view.cov2d = covariance(view.U_x, view.U_y, eps2d);
    return view;
}

INLINED Rows half_axes(Four quat, Three scale) {
    return scale_columns(rotation(quat), scale);
}

void project_forward(
    i64 part, i64 parts, i64 N, i64 C, const float *restrict means, const float *restrict quats,
    const float *restrict scales, const float *restrict opacities, const double *restrict cameras,
    const Limits *restrict limits, int32_t *restrict radii, float *restrict means2d,
    float *restrict depths, float *restrict conics, float *restrict compensations
) {
    const d4 limit = splat4(RADIUS_LIMIT);
    for (i64 chunk = part * PROJECTION_CHUNK; chunk < N; chunk += parts * PROJECTION_CHUNK) {
        i64 last = smaller(chunk + PROJECTION_CHUNK, N) - 1;
        for (i64 g = chunk; g <= last; g += GAUSSIANS) {
            Group rows = group_of(g, last);
            Three mean = load_three(means, rows);
            Rows M = half_axes(load_four(quats, rows), load_three(scales, rows));
            d4 opacity = load_column(opacities, 1, rows, 0);
            for (i64 i = 0; i < C; i++) {
                Camera camera = camera_of(cameras + i * CAMERA_NUMBERS);
                View view = view_of(camera, M, mean, splat4(limits->eps2d));
                d4 xx = view.cov2d.xx, yy = view.cov2d.yy, det = view.cov2d.det, z = view.p.z;
                d4 mean_x = camera.focal.x * view.slope.x + camera.centre.x;
                d4 mean_y = camera.focal.y * view.slope.y + camera.centre.y;
                d4 rho = sqrt4(view.cov2d.sharp_det * view.cov2d.inverse_det);
                d4 alpha = limits->antialiased ? opacity * rho : opacity;
                Two radius = box_radii(xx, yy, alpha);
                mask4 visible =
                    (limits->near_plane <= z) & (z <= limits->far_plane)
                    & (det > 0) & (view.cov2d.inverse_det > 0)
                    & (max4(xx, yy) < FLOAT32_MAX * det)
                    & (alpha >= ALPHA_MIN) & (alpha < INFINITY)
                    & ((radius.x > limits->radius_clip) | (radius.y > limits->radius_clip))
                    & (-radius.x < mean_x) & (mean_x < limits->width + radius.x)
                    & (-radius.y < mean_y) & (mean_y < limits->height + radius.y);
                rows = group_of(i * N + g, i * N + last);
                store_integers(radii, 2, rows, 0, or_zero4(visible, min4(radius.x, limit)));
                store_integers(radii, 2, rows, 1, or_zero4(visible, min4(radius.y, limit)));
                store_column(means2d, 2, rows, 0, or_zero4(visible, mean_x));
                store_column(means2d, 2, rows, 1, or_zero4(visible, mean_y));
                store_column(depths, 1, rows, 0, or_zero4(visible, z));
                store_three(conics, rows, where(visible, conic_of(view.cov2d)));
                store_column(compensations, 1, rows, 0, or_zero4(visible, rho));
            }
        }
    }
}

typedef struct { Three x, y; } AxesGradient;

INLINED AxesGradient covariance_vjp(const View *view, d4 eps2d, Three v_conic, d4 v_rho) {
    Three v = added(
        conic_vjp(conic_of(view->cov2d), v_conic), compensation_vjp(view->cov2d, eps2d, v_rho)
    );
    return (AxesGradient){
        added(scaled(2 * v.x, view->U_x), scaled(v.y, view->U_y)),
        added(scaled(v.y, view->U_x), scaled(2 * v.z, view->U_y)),
    };
}

/* v_p and v_A. */
typedef struct { Three v_p; Rows v_A; } ViewGradient;

INLINED ViewGradient project_vjp(
    Rows M, Three mean, mask4 visible, Camera camera, d4 eps2d, Two v_mean2d, d4 v_depth,
    Three v_conic, d4 v_rho
) {
    View view = view_of(camera, M, mean, eps2d);
    AxesGradient v_U = covariance_vjp(&view, eps2d, v_conic, v_rho);
    AxisGradient x = flatten_axis_vjp(view.A.x, view.A.z, view.f.x, view.held.x, v_U.x);
    AxisGradient y = flatten_axis_vjp(view.A.y, view.A.z, view.f.y, view.held.y, v_U.y);
    mask4 moves_x = (camera.low_slope.x <= view.slope.x) & (view.slope.x <= camera.high_slope.x);
    mask4 moves_y = (camera.low_slope.y <= view.slope.y) & (view.slope.y <= camera.high_slope.y);
    d4 v_x = or_zero4(moves_x, x.v_s) + camera.focal.x * v_mean2d.x;
    d4 v_y = or_zero4(moves_y, y.v_s) + camera.focal.y * v_mean2d.y;
    d4 fall = x.v_f * view.f.x + y.v_f * view.f.y + v_x * view.slope.x + v_y * view.slope.y;
    Three v_p = {
        v_x * view.inverse_z, v_y * view.inverse_z, v_depth - fall * view.inverse_z
    };
    Rows v_A = {
        where(visible, x.v_A_i), where(visible, y.v_A_i), where(visible, added(x.v_A_z, y.v_A_z))
    };
    return (ViewGradient){where(visible, v_p), v_A};
}

/* Add a row of dL/d(W|t) to one of v_views. */
INLINED void add_view_row(double *v_view, mask4 counted, d4 v_p, Three mean, Three v_W) {
    Three v = added(scaled(v_p, mean), v_W);
    const d4 values[4] = {v.x, v.y, v.z, v_p};
    for (int k = 0; k < 4; k++) {
        typedef double d4_anywhere __attribute__((vector_size(32), aligned(8), may_alias));
        *(d4_anywhere *)(v_view + k * LANES) += or_zero4(counted, values[k]);
    }
}

/* Without v_views, `views` is false. */
void project_backward(
    i64 part, i64 parts, i64 N, i64 C, i64 views, const float *restrict means,
    const float *restrict quats, const float *restrict scales, const double *restrict cameras,
    const Limits *restrict limits, const int32_t *restrict radii, const float *restrict v_means2d,
    const float *restrict v_depths, const float *restrict v_conics,
    const float *restrict v_compensations, float *restrict v_means, float *restrict v_quats,
    float *restrict v_scales, double *restrict v_views
) {
    for (i64 chunk = part * PROJECTION_CHUNK; chunk < N; chunk += parts * PROJECTION_CHUNK) {
        i64 last = smaller(chunk + PROJECTION_CHUNK, N) - 1;
        for (i64 g = chunk; g <= last; g += GAUSSIANS) {
            Group own = group_of(g, last);
            Three mean = load_three(means, own), scale = load_three(scales, own);
            Four quat = load_four(quats, own);
            Rows M = half_axes(quat, scale), v_M = {0};
            Three v_mean = {0};
            mask4 seen = {0};
            for (i64 i = 0; i < C; i++) {
                Group rows = group_of(i * N + g, i * N + last);
                Two radius = load_radii(radii, rows);
                mask4 visible = (radius.x > 0) & (radius.y > 0);
                if (!any4(visible)) continue;
                Camera camera = camera_of(cameras + i * CAMERA_NUMBERS);
                ViewGradient v = project_vjp(
                    M, mean, visible, camera, splat4(limits->eps2d), load_two(v_means2d, rows),
                    load_column(v_depths, 1, rows, 0), load_three(v_conics, rows),
                    load_column(v_compensations, 1, rows, 0)
                );
                Rows W = transposed(camera.W);
                seen |= visible;
                v_mean = added(v_mean, apply(W, v.v_p));
                v_M = add_rows(v_M, multiply(W, v.v_A));
                if (!views) continue;
                mask4 counted = visible & ((mask4){0, 1, 2, 3} <= last - g);
                Rows v_W = multiply(v.v_A, transposed(M));
                double *v_view = v_views + (chunk / PROJECTION_CHUNK * C + i) * VIEW_NUMBERS * LANES
                                 + (g - chunk) % LANES;
                add_view_row(v_view, counted, v.v_p.x, mean, v_W.x);
                add_view_row(v_view + 4 * LANES, counted, v.v_p.y, mean, v_W.y);
                add_view_row(v_view + 8 * LANES, counted, v.v_p.z, mean, v_W.z);
            }
            Four v_quat = rotation_vjp(quat, scale_columns(v_M, scale));
            Rows R = transposed(rotation(quat)), v_columns = transposed(v_M);
            Three v_scale = {dot(R.x, v_columns.x), dot(R.y, v_columns.y), dot(R.z, v_columns.z)};
            store_three(v_means, own, v_mean);
            store_three(v_scales, own, where(seen, v_scale));
            store_column(v_quats, 4, own, 0, or_zero4(seen, v_quat.w));
            store_column(v_quats, 4, own, 1, or_zero4(seen, v_quat.x));
            store_column(v_quats, 4, own, 2, or_zero4(seen, v_quat.y));
            store_column(v_quats, 4, own, 3, or_zero4(seen, v_quat.z));
        }
    }
}
