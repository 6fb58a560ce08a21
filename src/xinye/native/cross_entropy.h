// The cross-entropy of logits, and its gradient in their place, in two passes over memory.

#pragma once

#include <vector>

#include "team.h"
#include "vectors.h"

struct CrossEntropy {
    Threads threads;
    int64_t kind;  // of the logits: F32 or BF16
    int64_t rows, columns;
    void* logits;            // (rows, columns); the gradient is written here
    const int64_t* targets;  // (rows,); negative ones do not count
    double smoothing;        // the share of a target's probability that is spread over all columns
    float* losses;           // (rows,)
};

namespace {

struct CrossEntropyWork {
    const CrossEntropy& call;
    Team team{int(call.threads.count), 1};

    void run() {
        team.share(0, team.join(), call.rows, 1, [&](int64_t row, int64_t) {
            call.kind == F32 ? of_row<float>(row) : of_row<bf16>(row);
        });
    }

    template <class Number> void of_row(int64_t row) {
        static thread_local std::vector<float> own;
        int64_t columns = call.columns, target = call.targets[row];
        Number* logits = static_cast<Number*>(call.logits) + row * columns;
        call.losses[row] = 0;
        if (target < 0) return (void)std::fill(logits, logits + columns, Number{});
        own.resize(columns);
        float* exponentials = own.data();
        Floats most = Floats{} - INFINITY, total = {}, all = {};
        each_part(columns, [&](int64_t at, int64_t count) {
            Floats values = load_part(logits + at, count, -INFINITY);
            most = values > most ? values : most;
            if (call.smoothing) all += load_part(logits + at, count, 0);
        });
        float highest = largest(most), wanted = number(logits[target]);
        each_part(columns, [&](int64_t at, int64_t count) {
            Floats weights = exponential(load_part(logits + at, count, -INFINITY) - highest);
            for (int64_t i = count; i < LANES; i++) weights[i] = 0;
            total += weights;
            store_part(exponentials + at, weights, count);
        });
        float sums = sum(total), log_sum = highest + std::log(sums), smoothing = float(call.smoothing);
        call.losses[row] = log_sum - (1 - smoothing) * wanted - (smoothing ? smoothing / columns * sum(all) : 0);
        float inverse = 1 / sums, spread = smoothing / columns;
        each_part(columns, [&](int64_t at, int64_t count) {
            store_part(logits + at, load_part(exponentials + at, count, 0) * inverse - spread, count);
        });
        float gradient = exponentials[target] * inverse - spread - (1 - smoothing);
        store_part(logits + target, in_all_lanes(gradient), 1);
    }
};

}  // namespace
