// Products of GGUF's blocks of 32 weights with inputs rounded to 8 bits per block of 32, as in llama.cpp.
//
// Sixteen rows of a matrix lie together, so that each lane of a vector works for a row of its own and nothing has to be
// summed across lanes. For each 32 columns of such a group there are sixteen scales (half precision), in q4_1 sixteen
// minima, and then, four bytes of a row and the next row's beside them, the numbers: bytes, or nibbles, of which the low
// ones are columns 0 to 15. `interleave` in model/quantization.py writes this. A weight is scale × (number - offset),
// plus the minimum.

#pragma once

#include "vectors.h"

namespace {

constexpr int BLOCK = 32, GROUP = 16, WORDS = BLOCK / 4;
template <Kind KIND> constexpr int block_bytes = KIND == Q8_0 ? 34 : KIND == Q4_0 ? 18 : 20;  // of a row
template <Kind KIND> constexpr int block_header = KIND == Q4_1 ? 4 : 2;

// The number of a weight of row `row` of a group, from the group's part for a block.
template <Kind KIND> inline int number_at(const uint8_t* block, int row, int column) {
    const uint8_t* numbers = block + GROUP * block_header<KIND> + 4 * row;
    if (KIND == Q8_0) return int8_t(numbers[column / 4 * 4 * GROUP + column % 4]);
    return numbers[column % 16 / 4 * 4 * GROUP + column % 4] >> (column < 16 ? 0 : 4) & 15;
}

// Inputs rounded to 8 bits: x ≈ scale × byte.
struct InputBlock {
    int32_t words[WORDS];  // of four bytes
    int32_t correction;    // -offset × the sum of the bytes
    float scale, sum;      // the sum of scale × byte over the block
};

inline void round_block(const float* x, int offset, InputBlock& block) {
    Floats low = load(x), high = load(x + LANES);
    Floats size = (low < 0 ? -low : low), other = (high < 0 ? -high : high);
    float most = largest(size > other ? size : other), inverse = most > 0 ? 127 / most : 0;
    low = low * inverse + 12582912.0f - 12582912.0f, high = high * inverse + 12582912.0f - 12582912.0f;
    // By way of whole numbers: GCC 12 converts floats to bytes one by one.
    auto to_bytes = [](Floats x) { return __builtin_convertvector(__builtin_convertvector(x, Integers), Bytes); };
    Bytes bytes[2] = {to_bytes(low), to_bytes(high)};
    std::memcpy(block.words, bytes, sizeof bytes);
    int total = int(sum(low + high));
    block.correction = -offset * total, block.scale = most / 127, block.sum = total * block.scale;
}

// ROWS rows of a group at a time, one in each lane. Instructions that multiply bytes take unsigned weights and signed
// inputs; before VNNI their sums of two products must fit 16 bits, so weights of 8 bits stay signed there.
#if defined(__AVX512VNNI__) || !defined(__AVX2__)
constexpr int ROWS = 16;
constexpr bool UNSIGNED = true;
#else
constexpr int ROWS = 8;
#if defined(__AVXVNNI__)
constexpr bool UNSIGNED = true;
#else
constexpr bool UNSIGNED = false;
#endif
#endif
using Words = int32_t __attribute__((vector_size(4 * ROWS)));
using Reals = float __attribute__((vector_size(4 * ROWS)));
template <Kind KIND> constexpr int block_offset = KIND == Q8_0 ? (UNSIGNED ? 128 : 0) : KIND == Q4_0 ? 8 : 0;

template <Kind KIND> inline void unpack(const uint8_t* numbers, Words (&weights)[WORDS]) {
    for (int i = 0; i < (KIND == Q8_0 ? WORDS : WORDS / 2); i++) {
        auto words = read<Words>(numbers + i * 4 * GROUP);
        if (KIND == Q8_0)
            weights[i] = UNSIGNED ? words ^ int32_t(0x80808080) : words;
        else
            weights[i] = words & 0x0f0f0f0f, weights[i + WORDS / 2] = words >> 4 & 0x0f0f0f0f;
    }
}

inline Reals halves(const uint8_t* from) {
#if defined(__AVX512VNNI__)
    return bits<Reals>(_mm512_cvtph_ps(read<__m256i>(from)));
#elif defined(__AVX2__)
    return bits<Reals>(_mm256_cvtph_ps(read<__m128i>(from)));
#else
    Reals values;
    for (int i = 0; i < ROWS; i++) values[i] = half(from + 2 * i);
    return values;
#endif
}

#if defined(__AVX2__) && !defined(__AVX512VNNI__)
inline Reals multiply_add(Reals a, Reals b, Reals c) {
    return bits<Reals>(_mm256_fmadd_ps(bits<__m256>(a), bits<__m256>(b), bits<__m256>(c)));
}
#endif

// The sums of number × byte over a block, with the input's correction.
template <Kind KIND> inline Words dot(const Words (&weights)[WORDS], const InputBlock& input) {
    Words total = Words{} + input.correction;
#if defined(__AVX512VNNI__)
    for (int i = 0; i < WORDS; i++)
        total = Words(_mm512_dpbusd_epi32(__m512i(total), __m512i(weights[i]), _mm512_set1_epi32(input.words[i])));
#elif defined(__AVXVNNI__)
    for (int i = 0; i < WORDS; i++)
        total = Words(_mm256_dpbusd_avx_epi32(__m256i(total), __m256i(weights[i]), _mm256_set1_epi32(input.words[i])));
#elif defined(__AVX2__)
    const __m256i ones = _mm256_set1_epi16(1);
    if (KIND == Q8_0) {  // |w| × (x with w's sign), whose sums of two fit 16 bits
        for (int i = 0; i < WORDS; i++) {
            __m256i signed_input = _mm256_sign_epi8(_mm256_set1_epi32(input.words[i]), __m256i(weights[i]));
            __m256i pairs = _mm256_maddubs_epi16(_mm256_abs_epi8(__m256i(weights[i])), signed_input);
            total += Words(_mm256_madd_epi16(pairs, ones));
        }
    } else {  // 16 products of at most 15 × 127 fit 16 bits
        __m256i pairs = _mm256_setzero_si256();
        for (int i = 0; i < WORDS; i++)
            pairs = _mm256_add_epi16(
                pairs, _mm256_maddubs_epi16(__m256i(weights[i]), _mm256_set1_epi32(input.words[i])));
        total += Words(_mm256_madd_epi16(pairs, ones));
    }
#else
    for (int i = 0; i < WORDS; i++)
        for (int byte = 0; byte < 32; byte += 8) total += (weights[i] >> byte & 255) * int8_t(input.words[i] >> byte);
#endif
    return total;
}

// ROWS rows of a group, from row `first` on, times BATCH inputs. The inputs of a block lie together, and a block's
// `stride` inputs after those of the block before.
template <Kind KIND, int BATCH>
inline void block_products(const uint8_t* group, int first, int64_t blocks, const InputBlock* inputs, int64_t stride,
                           Reals (&totals)[BATCH]) {
    for (Reals& total : totals) total = Reals{};
    for (int64_t i = 0; i < blocks; i++, group += GROUP * block_bytes<KIND>, inputs += stride) {
        for (int line = 0; line < ROWS * block_bytes<KIND>; line += 64) prefetch(group + line + first * block_bytes<KIND>);
        Words weights[WORDS];
        unpack<KIND>(group + GROUP * block_header<KIND> + 4 * first, weights);
        Reals scale = halves(group + 2 * first), minimum = scale;
        if (KIND == Q4_1) minimum = halves(group + 2 * (GROUP + first));
        for (int b = 0; b < BATCH; b++) {
            Reals dots = __builtin_convertvector(dot<KIND>(weights, inputs[b]), Reals);
            totals[b] = multiply_add(dots, scale * inputs[b].scale, totals[b]);
            if (KIND == Q4_1) totals[b] = multiply_add(minimum, Reals{} + inputs[b].sum, totals[b]);
        }
    }
}

}  // namespace
