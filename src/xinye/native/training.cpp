// What a GPT computes in training between its matrices, with the gradients. training.py calls this.

#if !defined(__AVX512F__)
#define LANES_OF_VECTORS 8  // those of a register: GCC keeps longer vectors in memory
#endif

#include "activations.h"
#include "attention.h"
#include "cross_entropy.h"
#include "norms.h"
#include "orthogonal.h"

namespace {

template <class Work> void run(const auto* call, auto... about) {
    Work work{*call, about...};
    run_on(call->threads, work);
}

}  // namespace

extern "C" {

void xinye_attention(const Attention* call) { run<AttentionWork>(call, false); }

void xinye_attention_gradient(const Attention* call) { run<AttentionWork>(call, true); }

void xinye_rms_norm(const RMSNorm* call) { run<NormWork>(call, false); }

void xinye_rms_norm_gradient(const RMSNorm* call) { run<NormWork>(call, true); }

void xinye_rotate(const Rotation* call) { run<RotationWork>(call); }

void xinye_orthogonal(const Orthogonal* call) { run<OrthogonalWork>(call); }

void xinye_cross_entropy(const CrossEntropy* call) { run<CrossEntropyWork>(call); }

void xinye_gelu(const Activation* call) { run<GeluWork>(call, false); }

void xinye_gelu_gradient(const Activation* call) { run<GeluWork>(call, true); }

void xinye_swiglu(const Activation* call) {  // silu(x) y
    pass(*call, [call](auto read, auto write) { write(call->out, silu(read(call->x)) * read(call->y)); });
}

void xinye_swiglu_gradient(const Activation* call) {
    pass(*call, [call](auto read, auto write) {
        Floats x = read(call->x), gradient = read(call->gradient);
        write(call->out, gradient * read(call->y) * silu_slope(x));
        write(call->other, gradient * silu(x));
    });
}

}
