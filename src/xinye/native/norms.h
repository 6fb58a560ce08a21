// RMSNorm and the rotation of heads, with their gradients, each in one pass over memory.

#pragma once

#include "team.h"
#include "vectors.h"

struct RMSNorm {  // y = weight x / sqrt(mean of x² + eps), for each row
    Threads threads;
    int64_t kind;  // of all rows: F32 or BF16
    int64_t rows, columns;
    const void* x;
    const float* weight;
    double eps;
    float* scales;  // (rows,): 1 / sqrt(mean of x² + eps), for the gradient
    const void* gradient;
    void* out;
    float* weight_gradients;  // (SUM_PARTS, columns), to be added up
};

struct Rotation {  // y = x cosines + (x with its halves exchanged) sign sines, for each head
    Threads threads;
    int64_t kind;  // of all: F32 or BF16
    int64_t tokens, heads, head_dim, positions;
    const void *x, *cosines, *sines;  // (tokens, heads, D); (positions, D), which are repeated
    double sign;
    void* out;
};

namespace {

struct NormWork {
    const RMSNorm& call;
    bool backward;
    Team team{int(call.threads.count), 1};

    void run() {
        if (!backward)
            return team.share_rows(call.rows, call.columns, [&](int64_t row) {
                call.kind == F32 ? forward<float>(row) : forward<bf16>(row);
            });
        team.share_rows_with_sums(call.rows, call.columns, call.weight_gradients, [&](int64_t row, float* sums) {
            call.kind == F32 ? gradient<float>(row, sums) : gradient<bf16>(row, sums);
        });
    }

    template <class Number> const Number* of(const void* rows, int64_t row) const {
        return static_cast<const Number*>(rows) + row * call.columns;
    }

    template <class Number> void forward(int64_t row) {
        auto x = of<Number>(call.x, row);
        auto y = static_cast<Number*>(call.out) + row * call.columns;
        Floats squares = {};
        each_part(call.columns, [&](int64_t at, int64_t count) {
            Floats values = load_part(x + at, count);
            squares = multiply_add(values, values, squares);
        });
        float scale = call.scales[row] = float(1 / std::sqrt(sum(squares) / double(call.columns) + call.eps));
        each_part(call.columns, [&](int64_t at, int64_t count) {
            store_part(y + at, load_part(x + at, count) * scale * load_part(call.weight + at, count), count);
        });
    }

    template <class Number> void gradient(int64_t row, float* sums) {
        auto x = of<Number>(call.x, row), changes = of<Number>(call.gradient, row);
        auto out = static_cast<Number*>(call.out) + row * call.columns;
        float scale = call.scales[row];
        Floats along = {};
        each_part(call.columns, [&](int64_t at, int64_t count) {
            Floats normal = load_part(x + at, count) * scale, change = load_part(changes + at, count);
            store_part(sums + at, multiply_add(change, normal, load_part(sums + at, count)), count);
            along = multiply_add(change * load_part(call.weight + at, count), normal, along);
        });
        float mean = sum(along) / call.columns;
        each_part(call.columns, [&](int64_t at, int64_t count) {
            Floats normal = load_part(x + at, count) * scale;
            Floats change = load_part(changes + at, count) * load_part(call.weight + at, count);
            store_part(out + at, (change - normal * mean) * scale, count);
        });
    }
};

struct RotationWork {
    const Rotation& call;
    Team team{int(call.threads.count), 1};

    void run() {
        team.share(0, team.join(), call.tokens, 16, [&](int64_t first, int64_t last) {
            for (int64_t token = first; token < last; token++)
                call.kind == F32 ? rotate<float>(token) : rotate<bf16>(token);
        });
    }

    template <class Number> void rotate(int64_t token) {
        int64_t half = call.head_dim / 2, at = token % call.positions * call.head_dim;
        auto cosines = static_cast<const Number*>(call.cosines) + at, sines = static_cast<const Number*>(call.sines) + at;
        auto x = static_cast<const Number*>(call.x) + token * call.heads * call.head_dim;
        auto y = static_cast<Number*>(call.out) + token * call.heads * call.head_dim;
        for (int64_t head = 0; head < call.heads; head++, x += call.head_dim, y += call.head_dim)
            each_part(half, [&](int64_t i, int64_t count) {
                Floats low = load_part(x + i, count), high = load_part(x + half + i, count);
                auto turned = [&](Floats own, Floats other, int64_t from) {
                    Floats sine = load_part(sines + from, count) * float(call.sign);
                    store_part(y + from, multiply_add(other, sine, own * load_part(cosines + from, count)), count);
                };
                turned(low, high, i);
                turned(high, low, half + i);
            });
    }
};

}  // namespace
