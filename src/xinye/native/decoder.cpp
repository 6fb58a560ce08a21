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

#include "activations.h"
#include "matrices.h"
#include "team.h"

// -- the structures of decoder.py, with the same fields ----------------------------------------------------------------

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
    Threads threads;
    int64_t batch;
    const int64_t *tokens, *positions;  // (B,): the token to read, and its position in its text
    const int64_t* blocks;              // (B, most_blocks): the cache blocks of its text
    const float *cosines, *sines;       // (positions, D), or null
    uint8_t* cache;                     // (layers, 2, blocks, K, block, D)
    int64_t cache_kind, cache_blocks, block, most_blocks;  // `block` is the number of tokens in a block
    float* logits;  // (B, V)
};

namespace {

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
            for (int64_t s = 0; s < count; s++) {
                Floats score = in_all_lanes(scores[first + s]);
                for (int i = 0; i < WIDTH; i++)
                    sums[i] = multiply_add(score, load(page + s * size + at + i * LANES), sums[i]);
            }
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

// Shares the rows of a matrix, in whole groups: work(first, last) gets 64 rows at a time.
template <class Do> void share_rows(Team& team, int64_t number, int me, int64_t rows, Do&& work) {
    team.share(number, me, (rows + GROUP - 1) / GROUP, 64 / GROUP,
               [&](int64_t first, int64_t last) { work(first * GROUP, std::min(last * GROUP, rows)); });
}

struct Work {
    const Model& model;
    const Step& step;
    int64_t width, query_size, key_size;  // of queries, keys and values of one text
    std::vector<float> x, projected, attended, hidden, up;
    Team team;

    Work(const Model& model, const Step& step)
        : model(model), step(step), query_size(model.heads * model.head_dim),
          key_size(model.key_value_heads * model.head_dim), team(step.threads.count, 9 * model.layer_count + 2) {
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


// The work of each thread. Each computes its own copy of values that are cheaper to compute again than to wait for.
void Work::run() {
    int64_t batch = step.batch, C = model.hidden, shares = 0;
    int me = team.join();
    std::vector<float> normed(batch * C), scores;
    auto share = [&](int64_t count, int64_t piece, auto&& work) { team.share(shares++, me, count, piece, work); };
    auto share_product = [&](const Matrix& matrix, Input& input, float* out, int64_t stride, bool add) {
        share_rows(team, shares++, me, matrix.rows, [&](int64_t first, int64_t last) {
            multiply(matrix, input, first, last, out, stride, add);
        });
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
        share_product(layer.query, input, projected.data(), width, false);
        share_product(layer.key, input, projected.data() + query_size, width, false);
        share_product(layer.value, input, projected.data() + query_size + key_size, width, false);
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
        share_product(layer.output, mixed, x.data(), C, true);
        team.meet();
        input = normed_input(layer.mlp_norm);
        share_rows(team, shares++, me, model.intermediate, [&](int64_t first, int64_t last) {
            multiply(layer.up, input, first, last, up.data(), model.intermediate, false);
            if (layer.gate.data) multiply(layer.gate, input, first, last, hidden.data(), model.intermediate, false);
            for (int64_t b = 0; b < batch; b++) {
                float* ups = up.data() + b * model.intermediate + first;
                float* gates = hidden.data() + b * model.intermediate + first;
                if (layer.gate.data) {
                    each(gates, last - first, silu);
                    for (int64_t i = 0; i < last - first; i++) gates[i] *= ups[i];
                } else {
                    std::copy(ups, ups + last - first, gates);
                    each(gates, last - first, gelu);
                }
            }
        });
        team.meet();
        Input activated{hidden.data(), batch, model.intermediate};
        share_product(layer.down, activated, x.data(), C, true);
        team.meet();
    }
    Input input = normed_input(model.norm);
    share_product(model.head, input, step.logits, model.head.rows, false);
    team.meet();
}

// -- a quantized matrix alone ------------------------------------------------------------------------------------------

// The products with inputs (B, columns), to out (B, rows).
struct Product {
    const Matrix& matrix;
    Input input;
    float* out;
    Team team;

    void run() {
        int me = team.join();
        team.share(0, me, input.batch, 1, [&](int64_t b, int64_t) { input.round_input(b); });
        team.meet();
        share_rows(team, 1, me, matrix.rows, [&](int64_t first, int64_t last) {
            multiply(matrix, input, first, last, out, matrix.rows, false);
        });
        team.meet();
    }
};

}  // namespace

extern "C" void xinye_step(const Model* model, const Step* step) {
    Work work{*model, *step};
    run_on(step->threads, work);
}

extern "C" void xinye_multiply(const Matrix* matrix, const float* inputs, int64_t batch, float* out, const Threads* threads) {
    Product product{*matrix, {inputs, batch, matrix->columns}, out, Team(threads->count, 2)};
    product.input.begin(offset_of(*matrix));
    run_on(*threads, product);
}
