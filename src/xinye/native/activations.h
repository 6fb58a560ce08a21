// The functions of feed-forward layers, and their gradients, in one pass over memory.

#pragma once

#include "team.h"
#include "vectors.h"

struct Elementwise {
    Threads threads;
    int64_t kind;   // of all numbers: F32 or BF16
    int64_t count;  // of each
    const void *x, *y, *gradient;
    void *out, *other;
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

constexpr int64_t PIECE = 4096;

// Calls apply(read, write) for each vector; read(numbers) is the vector of these numbers there, and write(numbers, values)
// sets it.
template <class Number, class Apply> struct Pass {
    const Elementwise& call;
    Apply apply;
    Team team{int(call.threads.count), 1};

    void run() {
        team.share(0, team.join(), call.count, PIECE, [&](int64_t first, int64_t last) {
            each_part(last - first, [&](int64_t at, int64_t some) {
                apply(
                    [&](const void* from) { return load_part(static_cast<const Number*>(from) + first + at, some); },
                    [&](void* to, Floats values) { store_part(static_cast<Number*>(to) + first + at, values, some); });
            });
        });
    }
};

template <class Apply> void pass(const Elementwise& call, Apply apply) {
    auto on = [&]<class Number>(Number) {
        Pass<Number, Apply> work{call, apply};
        run_on(call.threads, work);
    };
    call.kind == F32 ? on(float()) : on(bf16());
}

}  // namespace
