// The functions of feed-forward layers, and their gradients, in one pass over memory.

#pragma once

#include "team.h"
#include "vectors.h"

struct Activation {
    Threads threads;
    int64_t kind;  // of x, the gradient and what is written: F32 or BF16
    int64_t rows, columns;
    const void *x, *y;  // y is what x is multiplied with; or a bias (columns,) in float32, or null
    const void* gradient;
    void *out, *other;  // the function, or the gradients; of a bias (SUM_PARTS, columns) in float32, to be added up
};

namespace {

// `exponential` is limited, so where the true value is 0, it is set.
inline Floats sigmoid(Floats x) { return x < -87.0f ? Floats{} : 1 / (1 + exponential(-x)); }

// x/2 (1 + tanh(√(2/π) (x + 0.044715 x³))), where (1 + tanh(u))/2 = 1/(1 + e^-2u)
constexpr float TWICE = 1.5957691216f, CUBE = 0.044715f;
inline Floats gelu(Floats x) { return x < -87.0f ? Floats{} : x / (1 + exponential(-TWICE * (x + CUBE * x * x * x))); }
inline Floats gelu_slope(Floats x) {
    x = x < -87.0f ? Floats{} - 87.0f : x > 87.0f ? Floats{} + 87.0f : x;
    Floats share = sigmoid(TWICE * (x + CUBE * x * x * x));
    return share + x * share * (1 - share) * TWICE * (1 + 3 * CUBE * x * x);
}
inline Floats silu(Floats x) { return x < -87.0f ? Floats{} : x / (1 + exponential(-x)); }
inline Floats silu_slope(Floats x) {
    Floats share = sigmoid(x);
    return share * (1 + x * (1 - share));
}

struct GeluWork {  // of x plus a bias
    const Activation& call;
    bool backward;
    Team team{int(call.threads.count), 1};

    void run() {
        auto any_row = [&](int64_t row, float* sums) {
            call.kind == F32 ? of_row<float>(row, sums) : of_row<bf16>(row, sums);
        };
        if (call.y && backward)
            return team.share_rows_with_sums(call.rows, call.columns, static_cast<float*>(call.other), any_row);
        team.share_rows(call.rows, call.columns, [&](int64_t row) { any_row(row, nullptr); });
    }

    template <class Number> void of_row(int64_t row, float* sums) {
        auto x = static_cast<const Number*>(call.x) + row * call.columns;
        auto changes = static_cast<const Number*>(call.gradient) + row * call.columns;
        auto out = static_cast<Number*>(call.out) + row * call.columns;
        auto bias = static_cast<const float*>(call.y);
        each_part(call.columns, [&](int64_t at, int64_t count) {
            Floats values = load_part(x + at, count);
            if (bias) values += load_part(bias + at, count);
            Floats result = backward ? load_part(changes + at, count) * gelu_slope(values) : gelu(values);
            store_part(out + at, result, count);
            if (sums) store_part(sums + at, load_part(sums + at, count) + result, count);
        });
    }
};

// Calls apply(read, write) for each vector; read(numbers) is the vector of these numbers there, and write(numbers, values)
// sets it.
template <class Number, class Apply> struct Pass {
    const Activation& call;
    Apply apply;
    Team team{int(call.threads.count), 1};

    void run() {
        team.share(0, team.join(), call.rows * call.columns, PIECE, [&](int64_t first, int64_t last) {
            each_part(last - first, [&](int64_t at, int64_t some) {
                apply(
                    [&](const void* from) { return load_part(static_cast<const Number*>(from) + first + at, some); },
                    [&](void* to, Floats values) { store_part(static_cast<Number*>(to) + first + at, values, some); });
            });
        });
    }
};

template <class Apply> void pass(const Activation& call, Apply apply) {
    auto on = [&]<class Number>(Number) {
        Pass<Number, Apply> work{call, apply};
        run_on(call.threads, work);
    };
    call.kind == F32 ? on(float()) : on(bf16());
}

}  // namespace
