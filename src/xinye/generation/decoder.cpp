// One step of a GPT on a CPU: reads a token of each text and returns its logits. Several tokens of one text are read
// like several texts, because all keys of a layer are stored before any is read. decoder.py builds and calls this.
//
// A step reads all weights once, so memory bandwidth limits its speed, and this code keeps it in use. All threads of a
// team go through the whole step together, share the rows of each matrix, and wait for each other only if one needs what
// another has computed. Activations are float32. Weights are float32, bf16, or GGUF's blocks of 32; blocks are multiplied
// by activations rounded to 8 bits per block of 32, as in llama.cpp.
//
// B texts, C hidden size, D head size, H heads, K key-value heads, S tokens of a text. Matrices are (rows, columns) as
// in PyTorch's Linear. Vectors are GCC's and Clang's own type, which every processor has instructions for.

#include <algorithm>
#include <atomic>
#include <cmath>
#include <cstdint>
#include <cstring>
#include <thread>
#include <utility>
#include <vector>
#if defined(__x86_64__)
#include <immintrin.h>
#endif

// -- the structures of decoder.py, with the same fields ----------------------------------------------------------------

enum Kind : int64_t { F32, BF16, Q8_0, Q4_0, Q4_1 };

struct Matrix {
    const uint8_t* data;  // null if the architecture has none
    const float* bias;    // or null
    int64_t rows, columns, kind;
};

struct Norm {
    const float *weight, *bias;  // RMSNorm without bias, LayerNorm with it; no norm without weight
};

struct Layer {
    Norm attention_norm, query_norm, key_norm, mlp_norm;
    Matrix query, key, value, output, gate, up, down;
};

struct Model {
    Matrix tokens, positions, head;
    Norm norm;
    const Layer* layers;
    int64_t layer_count, hidden, heads, key_value_heads, head_dim, intermediate;
    double eps;
};

struct Step {
    int64_t batch, threads;
    const int64_t *tokens, *positions;  // (B,): the token to read, and its position in its text
    const int64_t* blocks;              // (B, most_blocks): the cache blocks of its text
    const float *cosines, *sines;       // (positions, D), or null
    uint8_t* cache;                     // (layers, 2, blocks, K, block, D)
    int64_t cache_kind, cache_blocks, block, most_blocks;  // `block` is the number of tokens in a block
    float* logits;  // (B, V)
    void (*parallel)(void (*)(void*), void*, unsigned, unsigned);  // OpenMP's, with the threads of PyTorch; or null
    int (*team_size)();
};

namespace {

// -- vectors -----------------------------------------------------------------------------------------------------------

constexpr int LANES = 16;
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

// a × b + c, rounded once. A compiler may round twice in one place and once in another; then a text would get other
// values among several texts than alone. So contraction is off (-ffp-contract=off), and code that needs a single rounding
// calls this.
inline Floats multiply_add(Floats a, Floats b, Floats c) {
#if defined(__AVX512F__)
    return bits<Floats>(_mm512_fmadd_ps(bits<__m512>(a), bits<__m512>(b), bits<__m512>(c)));
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

// -- matrices ----------------------------------------------------------------------------------------------------------

// Prefetches 4 KB ahead: the processor's own prefetching reaches less far in a row, and never beyond a page of memory.
inline void prefetch(const void* weights) { __builtin_prefetch(static_cast<const uint8_t*>(weights) + 4096); }

// ROWS rows of weights times BATCH inputs, to sums[ROWS][BATCH].
template <int ROWS, int BATCH, class Weight>
inline void products(const Weight* weights, int64_t columns, const float* inputs, float (*sums)[BATCH]) {
    Floats totals[ROWS][BATCH] = {};
    int64_t at = 0;
    for (; at + LANES <= columns; at += LANES) {
        Floats input[BATCH];
        for (int b = 0; b < BATCH; b++) input[b] = load(inputs + b * columns + at);
        for (int r = 0; r < ROWS; r++) {
            prefetch(weights + at * ROWS + r * LANES);
            Floats weight = load(weights + r * columns + at);
            for (int b = 0; b < BATCH; b++) totals[r][b] = multiply_add(weight, input[b], totals[r][b]);
        }
    }
    sum_each<ROWS * BATCH>(totals[0], sums[0]);
    for (int r = 0; r < ROWS; r++)
        for (int b = 0; b < BATCH; b++)
            for (int64_t i = at; i < columns; i++)
                sums[r][b] += number(weights[r * columns + i]) * inputs[b * columns + i];
}

#if defined(__AVX512BF16__)

// The same with inputs that are rounded to bf16, as PyTorch rounds them: twice as many products at a time.
template <int ROWS, int BATCH>
inline void products(const bf16* weights, int64_t columns, const bf16* inputs, float (*sums)[BATCH]) {
    __m512 totals[ROWS][BATCH] = {};
    for (int64_t at = 0; at < columns; at += 2 * LANES) {
        __m512bh input[BATCH];
        for (int b = 0; b < BATCH; b++) input[b] = read<__m512bh>(inputs + b * columns + at);
        for (int r = 0; r < ROWS; r++) {
            prefetch(weights + at * ROWS + r * 2 * LANES);
            __m512bh weight = read<__m512bh>(weights + r * columns + at);
            for (int b = 0; b < BATCH; b++) totals[r][b] = _mm512_dpbf16_ps(totals[r][b], weight, input[b]);
        }
    }
    sum_each<ROWS * BATCH>(reinterpret_cast<Floats*>(totals), sums[0]);
}

#endif

// GGUF's blocks of 32 weights: a half-precision scale, in q4_1 also a half-precision minimum, then bytes or nibbles (the
// low ones first). A weight is scale × (number - offset), plus the minimum.
constexpr int BLOCK = 32;
template <Kind KIND> constexpr int block_bytes = KIND == Q8_0 ? 34 : KIND == Q4_0 ? 18 : 20;
template <Kind KIND> constexpr int block_header = KIND == Q4_1 ? 4 : 2;
template <Kind KIND> constexpr int block_offset = KIND == Q8_0 ? 128 : KIND == Q4_0 ? 8 : 0;

template <Kind KIND> inline void numbers(const uint8_t* block, uint8_t* to) {
    for (int i = 0; i < BLOCK; i++)
        if (KIND == Q8_0)
            to[i] = block[2 + i] ^ 128;  // makes the signed bytes unsigned, like the nibbles
        else
            to[i] = block[block_header<KIND> + i % 16] >> (i < 16 ? 0 : 4) & 15;
}

// Inputs rounded to 8 bits: x ≈ scale × byte, with the sums by which a block's offset and minimum are multiplied.
struct InputBlock {
    int8_t bytes[BLOCK];
    int32_t corrections[8];  // -offset × the sum of four bytes each
    float scale, sum;        // the sum of scale × byte over the block
};

void round_block(const float* x, int offset, InputBlock& block) {
    Floats low = load(x), high = load(x + LANES);
    Floats size = (low < 0 ? -low : low), other = (high < 0 ? -high : high);
    size = size > other ? size : other;
    float largest = 0;
    for (int i = 0; i < LANES; i++) largest = std::max(largest, size[i]);
    float inverse = largest > 0 ? 127 / largest : 0;
    low = low * inverse + 12582912.0f - 12582912.0f, high = high * inverse + 12582912.0f - 12582912.0f;
    Bytes bytes[2] = {__builtin_convertvector(low, Bytes), __builtin_convertvector(high, Bytes)};
    std::memcpy(block.bytes, bytes, sizeof bytes);
    int total = 0;
    for (int i = 0; i < 8; i++) {
        int four = block.bytes[4 * i] + block.bytes[4 * i + 1] + block.bytes[4 * i + 2] + block.bytes[4 * i + 3];
        block.corrections[i] = -offset * four;
        total += four;
    }
    block.scale = largest / 127, block.sum = total * block.scale;
}

#if defined(__AVX512VNNI__) && defined(__AVX512VL__)

using Total = __m256;

inline Total broadcast_half(const uint8_t* from) { return _mm256_cvtph_ps(_mm_set1_epi16(read<int16_t>(from))); }

template <Kind KIND> inline __m256i unpack(const uint8_t* block) {
    if (KIND == Q8_0) return _mm256_xor_si256(_mm256_loadu_si256((const __m256i*)(block + 2)), _mm256_set1_epi8(-128));
    __m256i twice = _mm256_broadcastsi128_si256(_mm_loadu_si128((const __m128i*)(block + block_header<KIND>)));
    __m256i shifted = _mm256_srlv_epi64(twice, _mm256_setr_epi64x(0, 0, 4, 4));
    return _mm256_and_si256(shifted, _mm256_set1_epi8(15));
}

template <int ROWS, int BATCH, Kind KIND>
inline void products(const uint8_t* weights, int64_t columns, const InputBlock* inputs, float (*sums)[BATCH]) {
    int64_t blocks = columns / BLOCK;
    __m256 totals[ROWS][BATCH] = {};
    for (int64_t i = 0; i < blocks; i++)
        for (int r = 0; r < ROWS; r++) {
            prefetch(weights + (i * ROWS + r) * block_bytes<KIND>);
            const uint8_t* block = weights + (r * blocks + i) * block_bytes<KIND>;
            __m256i numbers = unpack<KIND>(block);
            __m256 scale = broadcast_half(block), minimum = KIND == Q4_1 ? broadcast_half(block + 2) : scale;
            for (int b = 0; b < BATCH; b++) {
                const InputBlock& input = inputs[b * blocks + i];
                __m256i dot = KIND == Q4_1 ? _mm256_setzero_si256() : _mm256_loadu_si256((const __m256i*)input.corrections);
                dot = _mm256_dpbusd_epi32(dot, numbers, _mm256_loadu_si256((const __m256i*)input.bytes));
                __m256 factor = _mm256_mul_ps(scale, _mm256_set1_ps(input.scale));
                totals[r][b] = _mm256_fmadd_ps(_mm256_cvtepi32_ps(dot), factor, totals[r][b]);
                if (KIND == Q4_1)
                    totals[r][b] = _mm256_fmadd_ps(minimum, _mm256_set1_ps(input.sum / 8), totals[r][b]);
            }
        }
    for (int r = 0; r < ROWS; r++)
        for (int b = 0; b < BATCH; b++) sums[r][b] = sum(bits<Floats>(_mm512_zextps256_ps512(totals[r][b])));
}

#else

template <int ROWS, int BATCH, Kind KIND>
inline void products(const uint8_t* weights, int64_t columns, const InputBlock* inputs, float (*sums)[BATCH]) {
    int64_t blocks = columns / BLOCK;
    for (int r = 0; r < ROWS; r++) {
        for (int b = 0; b < BATCH; b++) sums[r][b] = 0;
        for (int64_t i = 0; i < blocks; i++) {
            const uint8_t* block = weights + (r * blocks + i) * block_bytes<KIND>;
            uint8_t unpacked[BLOCK];
            numbers<KIND>(block, unpacked);
            for (int b = 0; b < BATCH; b++) {
                const InputBlock& input = inputs[b * blocks + i];
                int32_t dot = 0;
                for (int j = 0; j < 8; j++) dot += input.corrections[j];
                for (int j = 0; j < BLOCK; j++) dot += unpacked[j] * input.bytes[j];
                sums[r][b] += half(block) * input.scale * dot;
                if (KIND == Q4_1) sums[r][b] += half(block + 2) * input.sum;
            }
        }
    }
}

#endif

// The inputs of matrices, (B, columns). Rounded versions are made when a matrix needs them.
struct Input {
    const float* values;
    int64_t batch, columns;
    int offset = -1;
    std::vector<InputBlock> blocks = {};
    std::vector<bf16> halves = {};

    const bf16* as_bf16() {
        if (halves.empty()) {
            halves.resize(batch * columns);
            for (size_t i = 0; i < halves.size(); i++) halves[i] = rounded(values[i]);
        }
        return halves.data();
    }
    const InputBlock* rounded_for(int wanted) {
        if (wanted != offset) {
            blocks.resize(batch * columns / BLOCK);
            for (size_t i = 0; i < blocks.size(); i++) round_block(values + i * BLOCK, wanted, blocks[i]);
            offset = wanted;
        }
        return blocks.data();
    }
};

// Calls work(inputs) with the inputs in the form that suits weights of this type best.
template <class Weight> void with_inputs(Input& input, auto work) {
#if defined(__AVX512BF16__)
    if constexpr (sizeof(Weight) == sizeof(bf16))
        if (input.columns % (2 * LANES) == 0) return work(input.as_bf16());
#endif
    work(input.values);
}

// Rows [first, last) of a matrix times all inputs; out is (B, stride). Four rows and up to four inputs are multiplied at
// a time, so that a weight is loaded and converted once for four inputs; further inputs find these rows in the nearest
// cache. A single input takes ALONE rows at a time: memory is fastest in one stream, but unpacking blocks can overlap.
template <int ALONE, class Product>
void multiply_rows(const Matrix& matrix, int64_t batch, int64_t first, int64_t last, float* out, int64_t stride, bool add,
                   Product product) {
    auto block = [&]<int ROWS, int BATCH>(int64_t row, int64_t b) {
        float sums[ROWS][BATCH];
        product.template operator()<ROWS, BATCH>(row, b, sums);
        for (int r = 0; r < ROWS; r++)
            for (int i = 0; i < BATCH; i++) {
                float value = sums[r][i] + (matrix.bias ? matrix.bias[row + r] : 0);
                float& to = out[(b + i) * stride + row + r];
                to = add ? to + value : value;
            }
    };
    auto rows = [&]<int ROWS>(int64_t row) {
        int64_t b = 0;
        for (; b + 4 <= batch; b += 4) block.template operator()<ROWS, 4>(row, b);
        for (; b + 2 <= batch; b += 2) block.template operator()<ROWS, 2>(row, b);
        for (; b < batch; b++) block.template operator()<ROWS, 1>(row, b);
    };
    int64_t row = first;
    if (batch > 1)
        for (; row + 4 <= last; row += 4) rows.template operator()<4>(row);
    for (; row + ALONE <= last; row += ALONE) rows.template operator()<ALONE>(row);
    for (; row < last; row++) rows.template operator()<1>(row);
}

template <class Weight>
void multiply_plain(const Matrix& matrix, Input& input, int64_t first, int64_t last, float* out, int64_t stride, bool add) {
    auto weights = reinterpret_cast<const Weight*>(matrix.data);
    int64_t columns = matrix.columns;
    with_inputs<Weight>(input, [&](auto inputs) {
        multiply_rows<1>(matrix, input.batch, first, last, out, stride, add,
                         [&]<int ROWS, int BATCH>(int64_t row, int64_t b, float (*sums)[BATCH]) {
                             products<ROWS, BATCH>(weights + row * columns, columns, inputs + b * columns, sums);
                         });
    });
}

template <Kind KIND>
void multiply_blocks(const Matrix& matrix, Input& input, int64_t first, int64_t last, float* out, int64_t stride, bool add) {
    int64_t blocks = matrix.columns / BLOCK;
    const InputBlock* inputs = input.rounded_for(block_offset<KIND>);
    multiply_rows<2>(matrix, input.batch, first, last, out, stride, add,
                  [&]<int ROWS, int BATCH>(int64_t row, int64_t b, float (*sums)[BATCH]) {
                      products<ROWS, BATCH, KIND>(matrix.data + row * blocks * block_bytes<KIND>, matrix.columns,
                                                  inputs + b * blocks, sums);
                  });
}

void multiply(const Matrix& matrix, Input& input, int64_t first, int64_t last, float* out, int64_t stride, bool add) {
    switch (matrix.kind) {
    case F32: return multiply_plain<float>(matrix, input, first, last, out, stride, add);
    case BF16: return multiply_plain<bf16>(matrix, input, first, last, out, stride, add);
    case Q8_0: return multiply_blocks<Q8_0>(matrix, input, first, last, out, stride, add);
    case Q4_0: return multiply_blocks<Q4_0>(matrix, input, first, last, out, stride, add);
    case Q4_1: return multiply_blocks<Q4_1>(matrix, input, first, last, out, stride, add);
    }
}

template <Kind KIND> void add_blocks(const Matrix& matrix, int64_t row, float* out) {
    const uint8_t* block = matrix.data + row * (matrix.columns / BLOCK) * block_bytes<KIND>;
    for (int64_t at = 0; at < matrix.columns; at += BLOCK, block += block_bytes<KIND>) {
        uint8_t unpacked[BLOCK];
        numbers<KIND>(block, unpacked);
        float minimum = KIND == Q4_1 ? half(block + 2) : 0;
        for (int i = 0; i < BLOCK; i++) out[at + i] += half(block) * (unpacked[i] - block_offset<KIND>) + minimum;
    }
}

void add_row(const Matrix& matrix, int64_t row, float* out) {  // of an embedding
    auto floats = reinterpret_cast<const float*>(matrix.data) + row * matrix.columns;
    auto halves = reinterpret_cast<const bf16*>(matrix.data) + row * matrix.columns;
    switch (matrix.kind) {
    case F32: for (int64_t i = 0; i < matrix.columns; i++) out[i] += floats[i]; return;
    case BF16: for (int64_t i = 0; i < matrix.columns; i++) out[i] += number(halves[i]); return;
    case Q8_0: return add_blocks<Q8_0>(matrix, row, out);
    case Q4_0: return add_blocks<Q4_0>(matrix, row, out);
    case Q4_1: return add_blocks<Q4_1>(matrix, row, out);
    }
}

// -- between the matrices ----------------------------------------------------------------------------------------------

void normalize(const Norm& norm, const float* x, float* y, int64_t count, double eps) {
    float mean = 0, squares[1][1];
    std::copy(x, x + count, y);
    if (norm.bias) {
        Floats total = {};
        each(y, count, [&](Floats values) { total += values; return values; });
        mean = sum(total) / count;
        for (int64_t i = 0; i < count; i++) y[i] -= mean;
    }
    products<1, 1>(y, count, y, squares);
    float scale = float(1 / std::sqrt(squares[0][0] / count + eps));
    for (int64_t i = 0; i < count; i++) y[i] *= scale * norm.weight[i];
    if (norm.bias) for (int64_t i = 0; i < count; i++) y[i] += norm.bias[i];
}

void rotate(float* head, const float* cosines, const float* sines, int64_t size) {
    for (int64_t i = 0, j = size / 2; j < size; i++, j++) {
        float a = head[i], b = head[j];
        head[i] = a * cosines[i] + b * sines[i];
        head[j] = b * cosines[j] + a * sines[j];
    }
}

// The keys or values of a text's head: `block` of them, (block, D), at `at` + `stride` × the number of each block.
template <class Stored> struct Pages {
    Stored* at;
    int64_t stride, block;
    const int64_t* numbers;

    Stored* token(int64_t position, int64_t size) const {
        return at + numbers[position / block] * stride + position % block * size;
    }

    // Calls work(page, first, count) for the pages that hold the first `total` tokens; a page begins with token `first`.
    template <class Do> void each_of(int64_t total, Do&& work) const {
        for (int64_t first = 0; first < total; first += block)
            work(at + numbers[first / block] * stride, first, std::min(block, total - first));
    }
};

// One query over S keys and values to out (D,).
template <class Stored>
void attend(const float* query, Pages<Stored> keys, Pages<Stored> values, int64_t total_count, int64_t size, float* scores,
            float* out) {
    Input input{query, 1, size};
    with_inputs<Stored>(input, [&](auto query) {
        keys.each_of(total_count, [&](const Stored* page, int64_t first, int64_t count) {
            constexpr int AT_ONCE = 16;
            auto sums = reinterpret_cast<float (*)[1]>(scores + first);
            int64_t s = 0;
            for (; s + AT_ONCE <= count; s += AT_ONCE) products<AT_ONCE, 1>(page + s * size, size, query, sums + s);
            for (; s < count; s++) products<1, 1>(page + s * size, size, query, sums + s);
        });
    });
    float largest = *std::max_element(scores, scores + total_count), scale = 1 / std::sqrt(float(size));
    each(scores, total_count, [&](Floats values) { return exponential((values - largest) * scale); });
    Floats totals = {};
    int64_t s = 0;
    for (; s + LANES <= total_count; s += LANES) totals += load(scores + s);
    float total = sum(totals);
    for (; s < total_count; s++) total += scores[s];
    constexpr int WIDTH = 4;  // vectors of a head at a time
    int64_t at = 0;
    for (; at + WIDTH * LANES <= size; at += WIDTH * LANES) {
        Floats sums[WIDTH] = {};
        values.each_of(total_count, [&](const Stored* page, int64_t first, int64_t count) {
            for (int64_t s = 0; s < count; s++)
                for (int i = 0; i < WIDTH; i++)
                    sums[i] = multiply_add(Floats{} + scores[first + s], load(page + s * size + at + i * LANES), sums[i]);
        });
        for (int i = 0; i < WIDTH; i++) store(out + at + i * LANES, sums[i] / total);
    }
    for (; at < size; at++) {
        float mixed = 0;
        values.each_of(total_count, [&](const Stored* page, int64_t first, int64_t count) {
            for (int64_t s = 0; s < count; s++) mixed += scores[first + s] * number(page[s * size + at]);
        });
        out[at] = mixed / total;
    }
}

// -- the step ----------------------------------------------------------------------------------------------------------

// Threads that share work. Each has its own contiguous part of all work and takes it in pieces. A thread that has
// finished its part helps the others, so that a delayed thread does not hold them up.
class Team {
  public:
    Team(int64_t most, int64_t shares) : most(most), taken(most * shares) {}

    void set_size(int members) { size = members; }
    int join() { return joined.fetch_add(1); }  // the number of the calling thread

    // Calls work(first, last) on pieces of [0, count), for share number `number` of the step.
    template <class Do> void share(int64_t number, int me, int64_t count, int64_t piece, Do&& work) {
        for (int turn = 0; turn < size; turn++) {
            int64_t owner = (me + turn) % size, end = count * (owner + 1) / size, first;
            std::atomic<int64_t>& next = taken[number * most + owner].pieces;
            while ((first = count * owner / size + piece * next.fetch_add(1, std::memory_order_relaxed)) < end)
                work(first, std::min(first + piece, end));
        }
    }

    void meet() {
        int64_t round = rounds.load();
        if (arrived.fetch_add(1) == size - 1) {
            arrived = 0;
            rounds.fetch_add(1);
            return;
        }
        for (int spins = 0; rounds.load(std::memory_order_acquire) == round; spins++) {
#if defined(__x86_64__)
            _mm_pause();
#endif
            if (spins > 200000) std::this_thread::yield();  // milliseconds: earlier, others would take the core
        }
    }

  private:
    struct alignas(64) Counter { std::atomic<int64_t> pieces{0}; };  // each has its own cache line
    int64_t most;
    int size = 1;
    std::vector<Counter> taken;
    alignas(64) std::atomic<int> joined{0}, arrived{0};
    alignas(64) std::atomic<int64_t> rounds{0};
};

struct Work {
    const Model& model;
    const Step& step;
    int64_t width, query_size, key_size;  // of queries, keys and values of one text
    std::vector<float> x, projected, attended, hidden, up;
    Team team;

    Work(const Model& model, const Step& step)
        : model(model), step(step), query_size(model.heads * model.head_dim),
          key_size(model.key_value_heads * model.head_dim), team(step.threads, 9 * model.layer_count + 2) {
        width = query_size + 2 * key_size;
        x.resize(step.batch * model.hidden), projected.resize(step.batch * width);
        attended.resize(step.batch * query_size), hidden.resize(step.batch * model.intermediate);
        up.resize(step.batch * model.intermediate);
    }
    void run();
    template <class Stored> void keep(int64_t layer, int64_t text, int64_t head);
    template <class Stored> void attend_head(int64_t layer, int64_t text, int64_t head, std::vector<float>& scores);
    // Keys (part 0) or values (1) of a head, in the blocks of a text.
    template <class Stored> Pages<Stored> cached(int64_t layer, int64_t part, int64_t text, int64_t head) const {
        int64_t page = step.block * model.head_dim, stride = model.key_value_heads * page;
        auto first = reinterpret_cast<Stored*>(step.cache) + (layer * 2 + part) * step.cache_blocks * stride;
        return {first + head * page, stride, step.block, step.blocks + text * step.most_blocks};
    }
};

inline void keep_number(float* to, float value) { *to = value; }
inline void keep_number(bf16* to, float value) { *to = rounded(value); }

// Normalises and rotates head number `head`, counting through queries, keys and values; stores keys and values.
template <class Stored> void Work::keep(int64_t layer, int64_t text, int64_t head) {
    const Layer& weights = model.layers[layer];
    int64_t size = model.head_dim, position = step.positions[text];
    float* values = projected.data() + text * width + head * size;
    bool is_query = head < model.heads, is_key = !is_query && head < model.heads + model.key_value_heads;
    const Norm& norm = is_query ? weights.query_norm : weights.key_norm;
    if (is_query || is_key) {
        if (norm.weight) normalize(norm, values, values, size, model.eps);
        if (step.cosines) rotate(values, step.cosines + position * size, step.sines + position * size, size);
    }
    if (!is_query) {
        int64_t number = (head - model.heads) % model.key_value_heads;
        Stored* to = cached<Stored>(layer, is_key ? 0 : 1, text, number).token(position, size);
        for (int64_t i = 0; i < size; i++) keep_number(to + i, values[i]);
    }
}

template <class Stored> void Work::attend_head(int64_t layer, int64_t text, int64_t head, std::vector<float>& scores) {
    int64_t size = model.head_dim, count = step.positions[text] + 1;
    int64_t group = head / (model.heads / model.key_value_heads);
    scores.resize(std::max<int64_t>(scores.size(), count));
    attend(projected.data() + text * width + head * size, cached<Stored>(layer, 0, text, group),
           cached<Stored>(layer, 1, text, group), count, size, scores.data(),
           attended.data() + text * query_size + head * size);
}

constexpr int64_t PIECE = 64;  // rows that a thread takes at a time

// The work of each thread. Each computes its own copy of values that are cheaper to compute again than to wait for.
void Work::run() {
    int64_t batch = step.batch, C = model.hidden, shares = 0;
    int me = team.join();
    std::vector<float> normed(batch * C), scores;
    auto share = [&](int64_t count, int64_t piece, auto&& work) { team.share(shares++, me, count, piece, work); };
    auto share_rows = [&](const Matrix& matrix, Input& input, float* out, int64_t stride, bool add) {
        share(matrix.rows, PIECE, [&](int64_t first, int64_t last) { multiply(matrix, input, first, last, out, stride, add); });
    };
    auto normed_input = [&](const Norm& norm) {
        for (int64_t b = 0; b < batch; b++) normalize(norm, x.data() + b * C, normed.data() + b * C, C, model.eps);
        return Input{normed.data(), batch, C};
    };

    share(batch, 1, [&](int64_t text, int64_t) {
        add_row(model.tokens, step.tokens[text], x.data() + text * C);
        if (model.positions.data) add_row(model.positions, step.positions[text], x.data() + text * C);
    });
    team.meet();
    for (int64_t number = 0; number < model.layer_count; number++) {
        const Layer& layer = model.layers[number];
        Input input = normed_input(layer.attention_norm);
        share_rows(layer.query, input, projected.data(), width, false);
        share_rows(layer.key, input, projected.data() + query_size, width, false);
        share_rows(layer.value, input, projected.data() + query_size + key_size, width, false);
        team.meet();
        int64_t parts = model.heads + 2 * model.key_value_heads;
        share(batch * parts, 1, [&](int64_t at, int64_t) {
            step.cache_kind == F32 ? keep<float>(number, at / parts, at % parts) : keep<bf16>(number, at / parts, at % parts);
        });
        team.meet();
        share(batch * model.heads, 1, [&](int64_t at, int64_t) {
            int64_t text = at / model.heads, head = at % model.heads;
            step.cache_kind == F32 ? attend_head<float>(number, text, head, scores)
                                   : attend_head<bf16>(number, text, head, scores);
        });
        team.meet();
        Input mixed{attended.data(), batch, query_size};
        share_rows(layer.output, mixed, x.data(), C, true);
        team.meet();
        input = normed_input(layer.mlp_norm);
        share(model.intermediate, PIECE, [&](int64_t first, int64_t last) {
            multiply(layer.up, input, first, last, up.data(), model.intermediate, false);
            if (layer.gate.data) multiply(layer.gate, input, first, last, hidden.data(), model.intermediate, false);
            for (int64_t b = 0; b < batch; b++) {
                float* ups = up.data() + b * model.intermediate + first;
                float* gates = hidden.data() + b * model.intermediate + first;
                if (layer.gate.data) {
                    each(gates, last - first, [](Floats g) { return g / (1 + exponential(-g)); });
                    for (int64_t i = 0; i < last - first; i++) gates[i] *= ups[i];
                } else {  // x/2 (1 + tanh(√(2/π) (x + 0.044715 x³))), where (1 + tanh(u))/2 = 1/(1 + e^-2u)
                    std::copy(ups, ups + last - first, gates);
                    each(gates, last - first, [](Floats u) {
                        return u / (1 + exponential(-1.5957691216f * (u + 0.044715f * u * u * u)));
                    });
                }
            }
        });
        team.meet();
        Input activated{hidden.data(), batch, model.intermediate};
        share_rows(layer.down, activated, x.data(), C, true);
        team.meet();
    }
    Input input = normed_input(model.norm);
    share_rows(model.head, input, step.logits, model.head.rows, false);
    team.meet();
}

}  // namespace

extern "C" void xinye_step(const Model* model, const Step* step) {
    struct Call { Work work; const Step& step; } call{Work(*model, *step), *step};
    auto member = [](void* data) {
        Call& call = *static_cast<Call*>(data);
        call.work.team.set_size(call.step.team_size());
        call.work.run();
    };
    if (step->parallel && step->threads > 1) {
        step->parallel(member, &call, unsigned(step->threads), 0);
    } else {
        call.work.team.set_size(int(step->threads));
        std::vector<std::thread> others;
        for (int64_t i = 1; i < step->threads; i++) others.emplace_back([&] { call.work.run(); });
        call.work.run();
        for (std::thread& other : others) other.join();
    }
}
