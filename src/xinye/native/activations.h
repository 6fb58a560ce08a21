// The functions of feed-forward layers, and their gradients, in one pass over memory.

#pragma once

#include "blocks.h"
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

inline Floats sigmoid(Floats x) { return 1 / (1 + exponential(-x)); }

// x/2 (1 + tanh(√(2/π) (x + 0.044715 x³))), where (1 + tanh(u))/2 = 1/(1 + e^-2u)
constexpr float TWICE = 1.5957691216f, CUBE = 0.044715f;
inline Floats gelu(Floats x) { return x * sigmoid(TWICE * (x + CUBE * x * x * x)); }
inline Floats gelu_slope(Floats x) {
    Floats share = sigmoid(TWICE * (x + CUBE * x * x * x));
    return share + x * share * (1 - share) * TWICE * (1 + 3 * CUBE * x * x);
}
inline Floats silu(Floats x) { return x * sigmoid(x); }
inline Floats silu_slope(Floats x) {
    Floats share = sigmoid(x);
    return share * (1 + x * (1 - share));
}

constexpr int64_t PIECE = 4096;

// Calls apply(read, write) for each vector; read(numbers) is the vector of these numbers there, and write(numbers, values)
// sets it. A rest shorter than a vector is padded with zeros.
template <class Number, class Apply> struct Pass {
    const Elementwise& call;
    Apply apply;
    Team team{int(call.threads.count), 1};

    void run() {
        team.share(0, team.join(), call.count, PIECE, [&](int64_t first, int64_t last) {
            int64_t at = first;
            auto read = [&](const void* numbers) { return load(static_cast<const Number*>(numbers) + at); };
            auto write = [&](void* numbers, Floats values) { store(static_cast<Number*>(numbers) + at, values); };
            for (; at + LANES <= last; at += LANES) apply(read, write);
            auto read_rest = [&](const void* numbers) {
                Number rest[LANES] = {};
                std::copy_n(static_cast<const Number*>(numbers) + at, last - at, rest);
                return load(rest);
            };
            auto write_rest = [&](void* numbers, Floats values) {
                Number rest[LANES];
                store(rest, values);
                std::copy_n(rest, last - at, static_cast<Number*>(numbers) + at);
            };
            if (at < last) apply(read_rest, write_rest);
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
