// Products of matrices, (rows, columns) as in PyTorch's Linear, with the inputs of B texts.

#pragma once

#include <vector>

#include "blocks.h"

struct Matrix {
    const uint8_t* data;  // null if the architecture has none
    const float* bias;    // or null
    int64_t rows, columns, kind;
};

namespace {

// What a register holds of LANES numbers. GCC keeps a wider sum in memory, which takes three times as long with AVX2.
#if defined(__AVX2__) && !defined(__AVX512F__)
using Part = __m256;
inline Part load_register(const float* from) { return _mm256_loadu_ps(from); }
inline Part load_register(const bf16* from) {
    return bits<Part>(_mm256_slli_epi32(_mm256_cvtepu16_epi32(read<__m128i>(from)), 16));
}
inline Part add_product(Part a, Part b, Part c) { return _mm256_fmadd_ps(a, b, c); }
#else
using Part = Floats;
inline Part load_register(const auto* from) { return load(from); }
inline Part add_product(Part a, Part b, Part c) { return multiply_add(a, b, c); }
#endif
constexpr int PARTS = sizeof(Floats) / sizeof(Part), PART = LANES / PARTS;

// ROWS rows of weights times BATCH inputs, to sums[ROWS][BATCH].
template <int ROWS, int BATCH, class Weight>
inline void products(const Weight* weights, int64_t columns, const float* inputs, float (*sums)[BATCH]) {
    Part totals[ROWS][BATCH][PARTS] = {};
    int64_t at = 0;
    for (; at + LANES <= columns; at += LANES) {
        for (int r = 0; r < ROWS; r++) prefetch(weights + at * ROWS + r * LANES);
        for (int part = 0; part < PARTS; part++) {
            int64_t from = at + part * PART;
            Part input[BATCH];
            for (int b = 0; b < BATCH; b++) input[b] = load_register(inputs + b * columns + from);
            for (int r = 0; r < ROWS; r++) {
                Part weight = load_register(weights + r * columns + from);
                for (int b = 0; b < BATCH; b++) totals[r][b][part] = add_product(weight, input[b], totals[r][b][part]);
            }
        }
    }
    Floats whole[ROWS * BATCH];
    std::memcpy(whole, totals, sizeof whole);
    sum_each<ROWS * BATCH>(whole, sums[0]);
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

// The inputs of matrices, (B, columns). Rounded versions are made when a matrix needs them.
constexpr int TILE = ROWS == 16 ? 16 : 4;  // inputs for which the registers hold unpacked weights and sums

struct Input {
    const float* values;
    int64_t batch, columns;
    int offset = -1;
    std::vector<InputBlock> blocks = {};  // for each TILE inputs: of a block after another, those of all inputs
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
            begin(wanted);
            for (int64_t b = 0; b < batch; b++) round_input(b);
        }
        return blocks.data();
    }
    void begin(int wanted) {
        offset = wanted;
        blocks.resize(batch * columns / BLOCK);
    }
    void round_input(int64_t b) {
        int64_t count = columns / BLOCK, first = b / TILE * TILE, stride = std::min<int64_t>(TILE, batch - first);
        for (int64_t i = 0; i < count; i++)
            round_block(values + b * columns + i * BLOCK, offset, blocks[first * count + i * stride + b - first]);
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

// Puts the product of a row and an input where it belongs.
inline void put(const Matrix& matrix, int64_t row, float value, bool add, float& to) {
    if (matrix.bias) value += matrix.bias[row];
    to = add ? to + value : value;
}

// Four rows and up to four inputs are multiplied at a time, so that a weight is loaded and converted once for four
// inputs; further inputs find these rows in the nearest cache. A single input takes a row at a time: memory is fastest in
// one stream.
template <class Weight>
void multiply_plain(const Matrix& matrix, Input& input, int64_t first, int64_t last, float* out, int64_t stride, bool add) {
    auto weights = reinterpret_cast<const Weight*>(matrix.data);
    int64_t columns = matrix.columns, batch = input.batch;
    with_inputs<Weight>(input, [&](auto inputs) {
        auto some = [&]<int ROWS, int BATCH>(int64_t row, int64_t b) {
            float sums[ROWS][BATCH];
            products<ROWS, BATCH>(weights + row * columns, columns, inputs + b * columns, sums);
            for (int r = 0; r < ROWS; r++)
                for (int i = 0; i < BATCH; i++) put(matrix, row + r, sums[r][i], add, out[(b + i) * stride + row + r]);
        };
        auto rows = [&]<int ROWS>(int64_t row) {
            int64_t b = 0;
            for (; b + 4 <= batch; b += 4) some.template operator()<ROWS, 4>(row, b);
            for (; b + 2 <= batch; b += 2) some.template operator()<ROWS, 2>(row, b);
            for (; b < batch; b++) some.template operator()<ROWS, 1>(row, b);
        };
        int64_t row = first;
        if (batch > 1)
            for (; row + 4 <= last; row += 4) rows.template operator()<4>(row);
        for (; row < last; row++) rows.template operator()<1>(row);
    });
}

inline int offset_of(const Matrix& matrix) {
    return matrix.kind == Q8_0 ? block_offset<Q8_0> : matrix.kind == Q4_0 ? block_offset<Q4_0> : 0;
}

template <Kind KIND>
void multiply_blocks(const Matrix& matrix, Input& input, int64_t first, int64_t last, float* out, int64_t stride, bool add) {
    int64_t count = matrix.columns / BLOCK, group_bytes = count * GROUP * block_bytes<KIND>;
    const InputBlock* inputs = input.rounded_for(block_offset<KIND>);
    auto some = [&]<int BATCH>(int64_t row, int64_t tile, int64_t b, int64_t tile_size) {
        Reals totals[BATCH];
        block_products<KIND>(matrix.data + row / GROUP * group_bytes, row % GROUP, count,
                             inputs + tile * count + b, tile_size, totals);
        for (int i = 0; i < BATCH; i++) {
            float* to = out + (tile + b + i) * stride + row;
            int64_t rows = std::min<int64_t>(ROWS, last - row);
            for (int64_t r = 0; r < rows; r++) put(matrix, row + r, totals[i][r], add, to[r]);
        }
    };
    for (int64_t tile = 0; tile < input.batch; tile += TILE)
        for (int64_t row = first; row < last; row += ROWS) {
            int64_t b = 0, size = std::min<int64_t>(TILE, input.batch - tile);
            if constexpr (TILE == 16)
                for (; b + 16 <= size; b += 16) some.template operator()<16>(row, tile, b, size);
            for (; b + 4 <= size; b += 4) some.template operator()<4>(row, tile, b, size);
            for (; b < size; b++) some.template operator()<1>(row, tile, b, size);
        }
}

// Rows [first, last), where `first` is a multiple of GROUP, times all inputs; out is (B, stride).
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
    const uint8_t* block = matrix.data + row / GROUP * GROUP * (matrix.columns / BLOCK) * block_bytes<KIND>;
    int lane = int(row % GROUP);
    for (int64_t at = 0; at < matrix.columns; at += BLOCK, block += GROUP * block_bytes<KIND>) {
        float scale = half(block + 2 * lane), minimum = KIND == Q4_1 ? half(block + 2 * (GROUP + lane)) : 0;
        int offset = KIND == Q4_0 ? 8 : 0;
        for (int i = 0; i < BLOCK; i++) out[at + i] += scale * (number_at<KIND>(block, lane, i) - offset) + minimum;
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

}  // namespace
