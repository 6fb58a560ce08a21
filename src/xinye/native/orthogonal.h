// The orthogonal matrices of small matrices, for Muon: each matrix is computed by one thread, in its core's cache.

#pragma once

#include "team.h"
#include "tiles.h"

struct Orthogonal {  // `count` matrices of float32, each replaced by its result
    Threads threads;
    int64_t count, rows, columns;     // rows >= columns
    float* data;
    int64_t matrix, row, column;      // the numbers from one to the next
    int64_t iterations;
    double a, b, c;                   // x becomes a x + b x G + c x G², where G = xᵀx
};

namespace {

constexpr int64_t STRIP = 2 * LANES;

// x becomes x P with P = a + b G + c G². G and P are symmetric, so half of each is computed.
class OrthogonalWork {
  public:
    explicit OrthogonalWork(const Orthogonal& call)
        : call(call), wide((call.columns + STRIP - 1) / STRIP * STRIP), team(int(call.threads.count), 1) {}

    const Orthogonal& call;
    const int64_t wide;
    Team team;

    void run() {
        Buffer x, next, gram, polynomial;
        for (Buffer* each : {&x, &next}) each->resize(call.rows * wide);
        for (Buffer* each : {&gram, &polynomial}) each->resize(wide * wide);
        team.share(0, team.join(), call.count, 1, [&](int64_t at, int64_t) {
            float* matrix = call.data + at * call.matrix;
            read_scaled(matrix, x.data());
            for (int64_t i = 0; i < call.iterations; i++) {
                symmetric_product({x.data(), 1, wide}, x.data(), call.rows, gram.data());
                symmetric_product({gram.data(), wide, 1}, gram.data(), wide, polynomial.data());
                for (int64_t k = 0; k < wide * wide; k += LANES)
                    store(&polynomial[k], load(&gram[k]) * float(call.b) + load(&polynomial[k]) * float(call.c));
                for (int64_t k = 0; k < wide; k++) polynomial[k * wide + k] += float(call.a);
                tiled_product({x.data(), wide, 1}, polynomial.data(), wide, call.rows, wide, wide, next.data(), wide, false);
                std::swap(x, next);
            }
            each_number(matrix, [&](float& to, int64_t r, int64_t c) { to = x[r * wide + c]; });
        });
    }

  private:
    void each_number(float* matrix, auto apply) {  // along the numbers that lie together
        bool by_rows = call.column <= call.row;
        int64_t outer = by_rows ? call.rows : call.columns, inner = by_rows ? call.columns : call.rows;
        for (int64_t i = 0; i < outer; i++)
            for (int64_t k = 0; k < inner; k++) {
                int64_t r = by_rows ? i : k, c = by_rows ? k : i;
                apply(matrix[r * call.row + c * call.column], r, c);
            }
    }

    void read_scaled(float* matrix, float* x) {  // to (rows, wide), padded with zeros, of norm 1
        double squares = 0;
        std::fill(x, x + call.rows * wide, 0.0f);
        each_number(matrix, [&](float& from, int64_t r, int64_t c) { squares += double(from) * from, x[r * wide + c] = from; });
        float scale = float(1 / std::max(std::sqrt(squares), 1e-7));
        each(x, call.rows * wide, [&](Floats values) { return values * scale; });
    }

    // c (wide, wide) is a (wide, depth) times b (depth, wide), and symmetric
    void symmetric_product(View a, const float* b, int64_t depth, float* c) {
        for (int64_t column = 0; column < wide; column += STRIP)
            tiled_product(a, b + column, wide, column + STRIP, STRIP, depth, c + column, wide, false);
        for (int64_t r = 0; r < wide; r += LANES)
            for (int64_t column = 0; column < r; column += LANES)
                for (int64_t i = 0; i < LANES; i++)
                    for (int64_t k = 0; k < LANES; k++) c[(r + i) * wide + column + k] = c[(column + k) * wide + r + i];
    }
};

}  // namespace
