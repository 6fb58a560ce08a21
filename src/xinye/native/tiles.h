// Products of matrices that lie in the processor's cache.

#pragma once

#include <vector>

#include "vectors.h"

namespace {

// Numbers of which each LANES lie in one line of the cache: a vector in two lines takes longer to load.
class Buffer {
  public:
    float* data() { return reinterpret_cast<float*>(vectors.data()); }
    const float* data() const { return reinterpret_cast<const float*>(vectors.data()); }
    float& operator[](int64_t at) { return data()[at]; }
    const float& operator[](int64_t at) const { return data()[at]; }
    void resize(int64_t count) { vectors.resize(count / LANES); }  // a multiple of LANES
    void zero(int64_t count) { vectors.assign(count / LANES, Floats{}); }

  private:
    std::vector<Floats> vectors;
};

// A block of TILE_ROWS rows and TILE_VECTORS vectors of a product stays in the registers while its terms are added.
constexpr int TILE_ROWS = 6;
#if defined(__AVX512F__)
constexpr int TILE_VECTORS = 4;
#else
constexpr int TILE_VECTORS = 2;
#endif

// A matrix of which two neighbours in a column lie `row` numbers apart, and two in a row `column`.
struct View {
    const float* data;
    int64_t row, column;

    View from(int64_t r, int64_t c) const { return {data + r * row + c * column, row, column}; }
};

template <int ROWS, int VECTORS>
inline void tile_product(View a, const float* b, int64_t b_row, int64_t depth, float* c, int64_t c_row, bool add) {
    Floats totals[ROWS][VECTORS] = {};
    if (add)
        for (int r = 0; r < ROWS; r++)
            for (int v = 0; v < VECTORS; v++) totals[r][v] = load(c + r * c_row + v * LANES);
    for (int64_t i = 0; i < depth; i++, b += b_row) {
        Floats row[VECTORS];
        for (int v = 0; v < VECTORS; v++) row[v] = load(b + v * LANES);
        for (int r = 0; r < ROWS; r++) {
            Floats factor = in_all_lanes(a.data[r * a.row + i * a.column]);
            for (int v = 0; v < VECTORS; v++) totals[r][v] = multiply_add(factor, row[v], totals[r][v]);
        }
    }
    for (int r = 0; r < ROWS; r++)
        for (int v = 0; v < VECTORS; v++) store(c + r * c_row + v * LANES, totals[r][v]);
}

// c (rows, columns) is a (rows, depth) times b (depth, columns), or is increased by it. `columns` is a multiple of LANES.
inline void tiled_product(View a, const float* b, int64_t b_row, int64_t rows, int64_t columns, int64_t depth, float* c,
                          int64_t c_row, bool add) {
    auto tile = [&]<int ROWS, int VECTORS>(int64_t row, int64_t column) {
        tile_product<ROWS, VECTORS>(a.from(row, 0), b + column, b_row, depth, c + row * c_row + column, c_row, add);
    };
    auto rest_of_rows = [&]<int ROWS, int VECTORS>(auto&& self, int64_t row, int64_t column) {
        if (rows - row == ROWS) return tile.template operator()<ROWS, VECTORS>(row, column);
        if constexpr (ROWS > 1) self.template operator()<ROWS - 1, VECTORS>(self, row, column);
    };
    auto strip = [&]<int VECTORS>(int64_t column) {
        int64_t row = 0;
        for (; row + TILE_ROWS <= rows; row += TILE_ROWS) tile.template operator()<TILE_ROWS, VECTORS>(row, column);
        if (row < rows) rest_of_rows.template operator()<TILE_ROWS - 1, VECTORS>(rest_of_rows, row, column);
    };
    auto rest_of_columns = [&]<int VECTORS>(auto&& self, int64_t column) {
        if (columns - column == VECTORS * LANES) return strip.template operator()<VECTORS>(column);
        if constexpr (VECTORS > 1) self.template operator()<VECTORS - 1>(self, column);
    };
    int64_t column = 0, width = TILE_VECTORS * LANES;
    for (; column + width <= columns; column += width) strip.template operator()<TILE_VECTORS>(column);
    if constexpr (TILE_VECTORS > 1)
        if (column < columns) rest_of_columns.template operator()<TILE_VECTORS - 1>(rest_of_columns, column);
}

}  // namespace
