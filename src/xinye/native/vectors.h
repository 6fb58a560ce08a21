// Vectors of sixteen lanes: GCC's and Clang's own type, which every processor has instructions for. A source that defines
// LANES_OF_VECTORS has vectors of so many.

#pragma once

#include <algorithm>
#include <cmath>
#include <cstdint>
#include <cstring>
#include <utility>
#if defined(__x86_64__)
#include <immintrin.h>
#endif

enum Kind : int64_t { F32, BF16, Q8_0, Q4_0, Q4_1 };  // of numbers; the last three are GGUF's blocks

namespace {

#if !defined(LANES_OF_VECTORS)
#define LANES_OF_VECTORS 16
#endif
constexpr int LANES = LANES_OF_VECTORS;
using Floats = float __attribute__((vector_size(4 * LANES)));
using Integers = int32_t __attribute__((vector_size(4 * LANES)));
using Shorts = uint16_t __attribute__((vector_size(2 * LANES)));
using Bytes = int8_t __attribute__((vector_size(LANES)));
using bf16 = uint16_t;

template <class To, class From> inline To bits(const From& from) {
    static_assert(sizeof(To) == sizeof(From));
    To to;
    std::memcpy(&to, &from, sizeof to);
    return to;
}

template <class Vector> inline Vector read(const void* from) {
    Vector vector;
    std::memcpy(&vector, from, sizeof vector);
    return vector;
}

inline Floats load(const float* from) { return read<Floats>(from); }
inline Floats load(const bf16* from) { return bits<Floats>(__builtin_convertvector(read<Shorts>(from), Integers) << 16); }
inline void store(float* to, Floats values) { std::memcpy(to, &values, sizeof values); }
// A number in all lanes. `Floats{} + x` would be an addition, because of -0, in each turn of a loop.
inline Floats in_all_lanes(float x) { return x - Floats{}; }

// a × b + c, rounded once. A compiler may round twice in one place and once in another; then a text would get other
// values among several texts than alone. So contraction is off (-ffp-contract=off), and code that needs a single rounding
// calls this.
inline Floats multiply_add(Floats a, Floats b, Floats c) {
#if defined(__AVX512F__)
    return bits<Floats>(_mm512_fmadd_ps(bits<__m512>(a), bits<__m512>(b), bits<__m512>(c)));
#elif defined(__FMA__) && LANES_OF_VECTORS == 8
    return bits<Floats>(_mm256_fmadd_ps(bits<__m256>(a), bits<__m256>(b), bits<__m256>(c)));
#elif defined(__FMA__)
    struct Halves { __m256 of[2]; };
    auto x = bits<Halves>(a), y = bits<Halves>(b), z = bits<Halves>(c);
    return bits<Floats>(Halves{_mm256_fmadd_ps(x.of[0], y.of[0], z.of[0]), _mm256_fmadd_ps(x.of[1], y.of[1], z.of[1])});
#else
    return a * b + c;
#endif
}

inline float number(float value) { return value; }
inline float number(bf16 value) { return bits<float>(uint32_t(value) << 16); }
inline bf16 rounded(float value) {  // to the nearest bf16, ties to even
    uint32_t word = bits<uint32_t>(value);
    return bf16((word + 0x7fff + (word >> 16 & 1)) >> 16);
}
inline void store(bf16* to, Floats values) {  // rounded as above
#if defined(__AVX512BF16__)
    auto halves = _mm512_cvtneps_pbh(bits<__m512>(values));
#else
    using Words = uint32_t __attribute__((vector_size(4 * LANES)));
    auto words = bits<Words>(values);
    auto halves = __builtin_convertvector((words + 0x7fff + (words >> 16 & 1)) >> 16, Shorts);
#endif
    std::memcpy(to, &halves, sizeof halves);
}
inline float half(const uint8_t* from) {  // an IEEE half; a block's scale is finite
    uint32_t word = read<uint16_t>(from);
    float magnitude = bits<float>((word & 0x7fff) << 13) * 0x1p112f;
    return word & 0x8000 ? -magnitude : magnitude;
}

inline float sum(Floats values) {
#if defined(__AVX512F__)
    return _mm512_reduce_add_ps(bits<__m512>(values));
#else
    float parts[LANES];
    store(parts, values);
    for (int width = LANES / 2; width; width /= 2)
        for (int i = 0; i < width; i++) parts[i] += parts[i + width];
    return parts[0];
#endif
}

inline float largest(Floats values) {
#if defined(__AVX512F__)
    return _mm512_reduce_max_ps(bits<__m512>(values));
#else
    float largest = values[0];
    for (int i = 1; i < LANES; i++) largest = std::max(largest, values[i]);
    return largest;
#endif
}

// Writes the sums of N vectors, a power of two up to 16, to `to`. The vectors are folded together so that no lane is
// idle; after a step, WIDTH lanes of each are left.
#if __has_builtin(__builtin_shufflevector)
template <int WIDTH> inline Floats fold(Floats a, Floats b) {
    return [&]<int... LANE>(std::integer_sequence<int, LANE...>) {
        constexpr auto from = [](int lane) { return lane / WIDTH * 2 * WIDTH + lane % WIDTH; };
        return __builtin_shufflevector(a, b, from(LANE)...) + __builtin_shufflevector(a, b, from(LANE) + WIDTH...);
    }(std::make_integer_sequence<int, LANES>{});
}

template <int COUNT, int N = COUNT, int WIDTH = LANES / 2> inline void sum_each(Floats* vectors, float* to) {
    constexpr int PAIRS = N > 1 ? N / 2 : 1;
    for (int i = 0; i < PAIRS; i++) vectors[i] = fold<WIDTH>(vectors[N > 1 ? 2 * i : i], vectors[N > 1 ? 2 * i + 1 : i]);
    if constexpr (WIDTH > 1) return sum_each<COUNT, PAIRS, WIDTH / 2>(vectors, to);
    else std::memcpy(to, vectors, COUNT * sizeof *to);
}
#else
template <int COUNT> inline void sum_each(const Floats* vectors, float* to) {
    for (int i = 0; i < COUNT; i++) to[i] = sum(vectors[i]);
}
#endif

inline Floats exponential(Floats x) {  // 2^n e^r with |r| < 0.35, and e^r by its series: right to the last bit or two
    x = x < -87.0f ? Floats{} - 87.0f : x;
    x = x > 88.0f ? Floats{} + 88.0f : x;
    Floats n = x * 1.44269504f + 12582912.0f - 12582912.0f;  // a sum that leaves no bits for fractions rounds
    Floats r = x - n * 0.693359375f + n * 2.12194440e-4f, series = Floats{} + 1.0f / 5040;
    for (float factor : {1.0f / 720, 1.0f / 120, 1.0f / 24, 1.0f / 6, 0.5f, 1.0f, 1.0f})
        series = multiply_add(series, r, Floats{} + factor);
    return series * bits<Floats>((__builtin_convertvector(n, Integers) + 127) << 23);
}

// Calls apply(values) on vectors of x; a rest shorter than a vector is padded.
template <class Apply> inline void each(float* x, int64_t count, Apply apply) {
    int64_t i = 0;
    for (; i + LANES <= count; i += LANES) store(x + i, apply(load(x + i)));
    if (i < count) {
        float rest[LANES] = {};
        std::copy(x + i, x + count, rest);
        store(rest, apply(load(rest)));
        std::copy(rest, rest + count - i, x + i);
    }
}

// Calls apply(at, count) for each vector of a row; the last one may have fewer than LANES numbers.
inline void each_part(int64_t columns, auto apply) {
    int64_t at = 0;
    for (; at + LANES <= columns; at += LANES) apply(at, int64_t(LANES));
    if (at < columns) apply(at, columns - at);
}
template <class Number> inline Floats load_part(const Number* from, int64_t count, float rest = 0) {
    if (count == LANES) return load(from);
    Floats values = Floats{} + rest;
    for (int64_t i = 0; i < count; i++) values[i] = number(from[i]);
    return values;
}
template <class Number> inline void store_part(Number* to, Floats values, int64_t count) {
    if (count == LANES) return store(to, values);
    Number numbers[LANES];
    store(numbers, values);
    std::copy_n(numbers, count, to);
}

// Prefetches 4 KB ahead: the processor's own prefetching reaches less far in a row, and never beyond a page of memory.
// To the second cache, because it can wait for more of memory at a time than the first one.
inline void prefetch(const void* weights) { __builtin_prefetch(static_cast<const uint8_t*>(weights) + 4096, 0, 2); }

}  // namespace
