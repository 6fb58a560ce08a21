// What a GPT computes in training between its matrices, with the gradients. training.py calls this.

#include "activations.h"
#include "attention.h"
#include "cross_entropy.h"
#include "norms.h"

namespace {

void attend(const Attention& call, bool backward) {
    AttentionWork work(call);
    work.backward = backward;
    run_on(call.threads, work);
}

}  // namespace

extern "C" {

void xinye_attention(const Attention* call) { attend(*call, false); }

void xinye_attention_gradient(const Attention* call) { attend(*call, true); }

void xinye_rms_norm(const Norm* call) {
    NormWork work{*call, false};
    run_on(call->threads, work);
}

void xinye_rms_norm_gradient(const Norm* call) {
    NormWork work{*call, true};
    run_on(call->threads, work);
}

void xinye_rotate(const Rotation* call) {
    RotationWork work{*call};
    run_on(call->threads, work);
}

void xinye_cross_entropy(const CrossEntropy* call) {
    CrossEntropyWork work{*call};
    run_on(call->threads, work);
}

void xinye_gelu(const Elementwise* call) {
    pass(*call, [call](auto read, auto write) { write(call->out, gelu(read(call->x))); });
}

void xinye_gelu_gradient(const Elementwise* call) {
    pass(*call, [call](auto read, auto write) { write(call->out, read(call->gradient) * gelu_slope(read(call->x))); });
}

void xinye_swiglu(const Elementwise* call) {  // silu(x) y
    pass(*call, [call](auto read, auto write) { write(call->out, silu(read(call->x)) * read(call->y)); });
}

void xinye_swiglu_gradient(const Elementwise* call) {
    pass(*call, [call](auto read, auto write) {
        Floats x = read(call->x), gradient = read(call->gradient);
        write(call->out, gradient * read(call->y) * silu_slope(x));
        write(call->other, gradient * silu(x));
    });
}

}
