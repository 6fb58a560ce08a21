// Attention in training, and its gradient. The scores of a block of queries stay in the processor's cache; nothing of
// them is kept for the gradient but the logarithm of each query's sum, as in FlashAttention (Dao et al. 2022,
// arXiv:2205.14135). What no query of a block sees is not computed.
//
// B sequences of T tokens, H heads and K key-value heads of D numbers. All is computed in float32.

#pragma once

#include "team.h"
#include "tiles.h"

struct Heads {  // (B, T, H or K, D)
    void* data;
    int64_t batch, token, head;  // the numbers from one to the next
};

struct Attention {
    Threads threads;
    int64_t kind;  // of all heads: F32 or BF16
    int64_t batch, length, heads, key_value_heads, head_dim, causal;
    const uint8_t* mask;  // which tokens (columns) each token may see, or null
    int64_t mask_batch, mask_row;
    Heads query, key, value, output;
    float* logs;  // (B, H, T): the logarithm of the sum of the exponentials of each token's scores
    Heads output_gradient, query_gradient, key_gradient, value_gradient;
};

namespace {

constexpr int64_t QUERIES = 48;  // in a block

inline int64_t padded(int64_t count) { return (count + LANES - 1) / LANES * LANES; }

// The heads of one sequence and group as float32 matrices, and what is computed from them; each thread has its own.
class AttentionWork {
  public:
    AttentionWork(const Attention& call, bool backward)
        : call(call), backward(backward), T(call.length), D(call.head_dim), wide(padded(T) + LANES), deep(padded(D)),
          scale(float(1 / std::sqrt(double(D)))), team(int(call.threads.count), 1) {}

    const Attention& call;
    const bool backward;
    const int64_t T, D, wide, deep;
    const float scale;
    Team team;

    void run() {
        int64_t groups = call.batch * call.key_value_heads;
        team.share(0, team.join(), groups, 1, [&](int64_t at, int64_t) {
            call.kind == F32 ? group<float>(at / call.key_value_heads, at % call.key_value_heads)
                             : group<bf16>(at / call.key_value_heads, at % call.key_value_heads);
        });
    }

  private:
    struct Scratch {
        Buffer query, key, value, key_columns, value_columns, gradient, key_gradient, value_gradient, scores,
            score_gradients, result;
    };
    struct Seen { int64_t first, last; };  // keys, multiples of LANES

    template <class Number> static Number* place(const Heads& heads, int64_t b, int64_t token, int64_t head) {
        return static_cast<Number*>(heads.data) + b * heads.batch + token * heads.token + head * heads.head;
    }

    // (T, deep), padded with zeros
    template <class Number> void read_rows(const Heads& heads, int64_t b, int64_t head, float factor, Buffer& to) {
        to.resize(wide * deep);
        for (int64_t t = 0; t < T; t++) {
            const Number* from = place<Number>(heads, b, t, head);
            float* row = &to[t * deep];
            each_part(D, [&](int64_t i, int64_t count) { store(row + i, load_part(from + i, count) * factor); });
        }
        std::fill(to.data() + T * deep, to.data() + wide * deep, 0.0f);
    }

    // Row r is multiplied by factor(r).
    template <class Number> void write_rows(const Heads& heads, int64_t b, int64_t first, int64_t last, int64_t head,
                                            const float* rows, auto factor) {
        for (int64_t t = first; t < last; t++, rows += deep) {
            Number* to = place<Number>(heads, b, t, head);
            float by = factor(t - first);
            each_part(D, [&](int64_t i, int64_t count) { store_part(to + i, load(rows + i) * by, count); });
        }
    }

    void transpose(const Buffer& rows, Buffer& columns) {  // to (deep, wide)
        columns.resize(deep * wide);
        for (int64_t t = 0; t < wide; t += LANES)
            for (int64_t i = 0; i < deep; i++)
                for (int64_t lane = 0; lane < LANES; lane++) columns[i * wide + t + lane] = rows[(t + lane) * deep + i];
    }

    const uint8_t* mask_of(int64_t b, int64_t t) const { return call.mask + b * call.mask_batch + t * call.mask_row; }

    Seen seen_by(int64_t b, int64_t first, int64_t last) const {
        if (!call.mask) return {0, padded(call.causal ? last : T)};
        int64_t from = T, to = 0;
        for (int64_t t = first; t < last; t++) {
            const uint8_t *mask = mask_of(b, t), *end = mask + T;
            const uint8_t* found = std::find(mask, end, 1);
            if (found == end) continue;
            from = std::min(from, found - mask);
            while (!*(end - 1)) end--;
            to = std::max(to, end - mask);
        }
        return from < to ? Seen{from / LANES * LANES, padded(to)} : Seen{0, 0};
    }

    // Where token t of sequence b may attend, for the keys from `at` on.
    Integers visible(int64_t b, int64_t t, int64_t at) const {
        static const Integers lanes = [] {
            Integers numbers;
            for (int i = 0; i < LANES; i++) numbers[i] = i;
            return numbers;
        }();
        Integers within = lanes + int32_t(at) < int32_t(call.causal && !call.mask ? t + 1 : T);
        if (!call.mask) return within;
        uint8_t bytes[LANES] = {};
        std::copy_n(mask_of(b, t) + at, std::min<int64_t>(LANES, T - at), bytes);
        Integers wanted;
        for (int i = 0; i < LANES; i++) wanted[i] = bytes[i];
        return within & (wanted != 0);
    }

    template <class Number> void group(int64_t b, int64_t shared) {
        static thread_local Scratch own;
        Scratch& s = own;
        read_rows<Number>(call.key, b, shared, 1, s.key);
        read_rows<Number>(call.value, b, shared, 1, s.value);
        transpose(s.key, s.key_columns);
        if (backward) {
            transpose(s.value, s.value_columns);
            s.key_gradient.zero(wide * deep);
            s.value_gradient.zero(wide * deep);
            s.score_gradients.resize(QUERIES * wide);
        }
        s.scores.resize(QUERIES * wide);
        s.result.resize(QUERIES * deep);
        int64_t count = call.heads / call.key_value_heads;
        for (int64_t head = shared * count; head < (shared + 1) * count; head++) {
            read_rows<Number>(call.query, b, head, scale, s.query);
            if (backward) read_rows<Number>(call.output_gradient, b, head, 1, s.gradient);
            for (int64_t first = 0; first < T; first += QUERIES) {
                int64_t last = std::min(first + QUERIES, T);
                Seen seen = seen_by(b, first, last);
                tiled_product({&s.query[first * deep], deep, 1}, s.key_columns.data() + seen.first, wide, last - first,
                              seen.last - seen.first, D, s.scores.data() + seen.first, wide, false);
                float* logs = call.logs + (b * call.heads + head) * T + first;
                backward ? block_gradient<Number>(s, b, head, first, last, seen, logs)
                         : block<Number>(s, b, head, first, last, seen, logs);
            }
        }
        if (!backward) return;
        auto one = [](int64_t) { return 1.0f; };
        write_rows<Number>(call.key_gradient, b, 0, T, shared, s.key_gradient.data(), one);
        write_rows<Number>(call.value_gradient, b, 0, T, shared, s.value_gradient.data(), one);
    }

    template <class Number> void block(Scratch& s, int64_t b, int64_t head, int64_t first, int64_t last, Seen seen, float* logs) {
        float inverse[QUERIES];
        for (int64_t r = 0; r < last - first; r++) {
            float* scores = s.scores.data() + r * wide;
            Floats most = Floats{} - INFINITY, total = {};
            for (int64_t at = seen.first; at < seen.last; at += LANES) {
                Floats values = visible(b, first + r, at) ? load(scores + at) : Floats{} - INFINITY;
                store(scores + at, values);
                most = values > most ? values : most;
            }
            float highest = largest(most);
            for (int64_t at = seen.first; at < seen.last; at += LANES) {
                Floats values = load(scores + at);
                Floats weights = values == -INFINITY ? Floats{} : exponential(values - highest);
                total += weights;
                store(scores + at, weights);
            }
            float all = sum(total);
            inverse[r] = all > 0 ? 1 / all : 0;
            logs[r] = all > 0 ? highest + std::log(all) : 0;
        }
        tiled_product({s.scores.data() + seen.first, wide, 1}, &s.value[seen.first * deep], deep, last - first, deep,
                      seen.last - seen.first, s.result.data(), deep, false);
        write_rows<Number>(call.output, b, first, last, head, s.result.data(), [&](int64_t r) { return inverse[r]; });
    }

    template <class Number> void block_gradient(Scratch& s, int64_t b, int64_t head, int64_t first, int64_t last, Seen seen,
                                                const float* logs) {
        int64_t rows = last - first, columns = seen.last - seen.first;
        float *scores = s.scores.data() + seen.first, *gradients = s.score_gradients.data() + seen.first;
        const float *query = &s.query[first * deep], *gradient = &s.gradient[first * deep];
        tiled_product({gradient, deep, 1}, s.value_columns.data() + seen.first, wide, rows, columns, D, gradients, wide, false);
        for (int64_t r = 0; r < rows; r++) {
            float *weights = s.scores.data() + r * wide, *changes = s.score_gradients.data() + r * wide;
            Floats total = {};
            for (int64_t at = seen.first; at < seen.last; at += LANES) {
                Floats weight = visible(b, first + r, at) ? exponential(load(weights + at) - logs[r]) : Floats{};
                store(weights + at, weight);
                total = multiply_add(weight, load(changes + at), total);
            }
            float mean = sum(total);
            for (int64_t at = seen.first; at < seen.last; at += LANES)
                store(changes + at, load(weights + at) * (load(changes + at) - mean));
        }
        tiled_product({scores, 1, wide}, gradient, deep, columns, deep, rows, &s.value_gradient[seen.first * deep], deep, true);
        tiled_product({gradients, 1, wide}, query, deep, columns, deep, rows, &s.key_gradient[seen.first * deep], deep, true);
        tiled_product({gradients, wide, 1}, &s.key[seen.first * deep], deep, rows, deep, columns, s.result.data(), deep, false);
        write_rows<Number>(call.query_gradient, b, first, last, head, s.result.data(), [&](int64_t) { return scale; });
    }
};

}  // namespace
