"""Parameter-efficient fine-tuning: a few new weights are trained, and those of the network are
frozen.

- `lora` (Hu et al. 2021, arXiv:2106.09685): a matrix W becomes W + s·B·A, where A has few rows and
  B few columns
- `adalora` (Zhang et al. 2023, arXiv:2303.10512): W + s·B·diag(E)·A; during training the least
  important ranks of all matrices are pruned until a budget is met
- `prefix` (Li & Liang 2021, arXiv:2101.00190): learned keys and values before those of each layer
- `adapter` (Houlsby et al. 2019, arXiv:1902.00751): a bottleneck after attention and after the
  feed-forward layer

LoRA adapts every matrix of the layers, not only queries and values as in the first paper, because
fine-tuning is then as good as with all weights (Dettmers et al. 2023, arXiv:2305.14314). New
weights are fp32 and, like all others, cast where they are used. At the start they do not change the
output, except with a prefix. GPT-2's queries, keys and values share one A, because other tools have
one matrix there, `c_attn`; so its adapters load in those tools as they are.
"""

from collections import defaultdict
from collections.abc import Mapping
from dataclasses import replace
from typing import NamedTuple

import torch
from torch import Tensor, nn

from xinye.errors import XinyeError, did_you_mean, refuse_first
from xinye.model.adapter_layers import (
    AdaLoRA,
    Adapted,
    Bottleneck,
    Change,
    EmbeddingLoRA,
    LoRA,
    Prefix,
)
from xinye.model.adapter_settings import AdapterSettings
from xinye.model.cache import KeyValueCache
from xinye.model.gpt import GPT, Layer, gpt_in
from xinye.model.heads import Head
from xinye.model.quantization import Quantized

KINDS: dict[str, type[LoRA] | type[Bottleneck]] = {
    "lora": LoRA,
    "adalora": AdaLoRA,
    "adapter": Bottleneck,
}
QKV = ("q_proj", "k_proj", "v_proj")
UNMERGED = {
    None: "this model has no adapter",
    "prefix": "a prefix adds keys and values, which cannot be merged into weights",
    "adapter": "a bottleneck adapter is a nonlinear layer, which cannot be merged into weights",
}
# the names of new heads, which are trained with any adapter
HEADS = ("score", "classifier", "qa_outputs")


def attach(
    model: nn.Module,
    settings: AdapterSettings,
    seed: int = 0,
    changes: Mapping[str, Change] | None = None,
) -> None:
    """Freeze a model, except for a new head, and attach an adapter to it, in place.

    `changes` has the change of each site of an adapter that is to be loaded. Raises `XinyeError`
    for a model that cannot have this adapter.
    """
    gpt = _gpt(model)
    if attached(model) is not None:
        raise XinyeError("this model has an adapter already; merge it first (xinye merge)")
    for name, parameter in model.named_parameters():
        parameter.requires_grad_(name.startswith(HEADS))
    generator = torch.Generator().manual_seed(seed)  # on the CPU, for the same weights everywhere
    if settings.method == "prefix":
        _attach_prefix(gpt, settings, generator)
        return
    if changes is not None:
        _attach_changes(model, settings, changes)
        return
    places = sites(model)
    for site in _chosen(model, settings):
        adapter = _put(places[site], site, settings, settings.rank)
        adapter.initialize(generator)
        adapter.to(next(gpt.model.norm.parameters()).device).train(model.training)


def _attach_changes(
    model: nn.Module, settings: AdapterSettings, changes: Mapping[str, Change]
) -> None:
    gpt, places = _gpt(model), sites(model) | outer_sites(model)
    for site, change in changes.items():
        holder, names = places[site]
        special = change.magnitudes or site not in sites(model)
        if special and not hasattr(getattr(holder, names[0]), "weight"):
            raise XinyeError(
                f"the adapter's change of {site} needs weights that are not quantized; give the "
                "base that is not quantized with --base DIR"
            )
        if site in ("model.embed_tokens", "lm_head"):
            gpt.untie()
        adapter = _put(places[site], site, settings, change.rank)
        if isinstance(adapter, LoRA):
            adapter.fit(change)
        adapter.to(next(gpt.model.norm.parameters()).device).train(model.training)


def _put(
    place: tuple[nn.Module, list[str]], site: str, settings: AdapterSettings, rank: int
) -> LoRA | Bottleneck:
    """Put a new adapter next to the layers of a site; returns the adapter."""
    holder, names = place
    layers = [getattr(holder, name) for name in names]
    adapter: LoRA | Bottleneck
    if isinstance(layers[0], nn.Embedding):
        sizes = [layer.num_embeddings for layer in layers]
        adapter = EmbeddingLoRA(site, settings, layers[0].embedding_dim, sum(sizes), rank)
    else:
        sizes = [layer.out_features for layer in layers]
        adapter = KINDS[settings.method](site, settings, layers[0].in_features, sum(sizes), rank)
    end = 0
    for name, layer, size in zip(names, layers, sizes, strict=True):
        start, end = end, end + size
        setattr(holder, name, Adapted(layer, adapter, slice(start, end)))
    return adapter


def _gpt(model: nn.Module) -> GPT:
    if gpt := gpt_in(model):
        return gpt
    raise XinyeError(
        "adapters work with a GPT only (an LSTM is small enough to train all its weights)"
    )


def sites(model: nn.Module) -> dict[str, tuple[nn.Module, list[str]]]:
    """The places of adapters: for each name, the module that holds the layers, and their names in
    it."""
    found: dict[str, tuple[nn.Module, list[str]]] = {}
    gpt = _gpt(model)
    fused = dict.fromkeys(QKV, "c_attn") if gpt.config.architecture == "gpt2" else {}
    for number, layer in enumerate(gpt.model.layers):
        for part in ("self_attn", "mlp"):
            holder = getattr(layer, part)
            for name, child in holder.named_children():
                if isinstance(child, Adapted) or hasattr(child, "in_features"):
                    site = f"model.layers.{number}.{part}.{fused.get(name, name)}"
                    found.setdefault(site, (holder, []))[1].append(name)
    return found


def outer_sites(model: nn.Module) -> dict[str, tuple[nn.Module, list[str]]]:
    """The same for embeddings and heads. Xinye puts no adapter there, but files of other tools
    may."""
    gpt = _gpt(model)
    found: dict[str, tuple[nn.Module, list[str]]] = {
        "model.embed_tokens": (gpt.model, ["embed_tokens"])
    }
    if hasattr(gpt.model, "embed_positions"):
        found["model.embed_positions"] = gpt.model, ["embed_positions"]
    if isinstance(model, Head):
        return found | {"score": (model, ["score"])}
    return found | {"lm_head": (gpt, ["lm_head"])}


def _chosen(model: nn.Module, settings: AdapterSettings) -> list[str]:
    found = sites(model)
    known = list(dict.fromkeys(site.rsplit(".", 1)[1] for site in found))
    wanted = (
        ("o_proj", "down_proj")
        if settings.method == "adapter"
        else settings.target_modules or known
    )
    for name in wanted:
        if name not in known:
            fused = name in QKV and "c_attn" in known
            gpt2 = "in GPT-2 these three are one matrix, c_attn"
            hint = f"; {gpt2}" if fused else did_you_mean(name, known)
            raise XinyeError(
                f"target_modules: this model has no {name!r}; it has {', '.join(known)}{hint}"
            )
    return [site for site in found if site.rsplit(".", 1)[1] in wanted]


@torch.no_grad()
def _attach_prefix(gpt: GPT, settings: AdapterSettings, generator: torch.Generator) -> None:
    """Start from the keys and values of random tokens, because a random prefix trains badly (Li &
    Liang)."""
    length, config = settings.num_virtual_tokens, gpt.config
    context = config.max_position_embeddings
    refuse_first(
        (
            config.dynamic,
            "prefix: this model has dynamic RoPE scaling, which rotates all keys again at each "
            "length; a prefix does not work with it",
        ),
        (
            length >= context,
            f"prefix: num_virtual_tokens is {length}; it must be below the context of {context}",
        ),
    )
    training, device = gpt.training, next(gpt.model.norm.parameters()).device
    cache = KeyValueCache(config, 1, length, gpt.compute_dtype, device)
    tokens = torch.randint(config.vocab_size, (1, length), generator=generator)
    gpt.eval()
    gpt.hidden(tokens.to(device), cache=cache)
    gpt.train(training)
    prefix = Prefix(
        settings, cache.tensors[:, :, 0].float().permute(3, 0, 1, 2, 4)
    )  # (P, layers, 2, K, D)
    for layer in gpt.model.layers:
        assert isinstance(layer, Layer)
        layer.self_attn.prefix = prefix
    gpt.prefix_length = length
    gpt.config = replace(config, max_position_embeddings=context - length)


def adapters(model: nn.Module) -> list[LoRA | Bottleneck | Prefix]:
    """All adapters of a model, from the first layer to the last."""
    return [module for module in model.modules() if isinstance(module, LoRA | Bottleneck | Prefix)]


def attached(model: nn.Module) -> AdapterSettings | None:
    """The settings of the model's adapter; None for a model without one."""
    found = adapters(model)
    return found[0].settings if found else None


@torch.no_grad()
def merge(model: nn.Module) -> None:
    """Add a `lora` or `adalora` adapter to the weights, in place. The model then is a plain one
    with the same logits, and all its weights are trainable.

    Raises `XinyeError` if the method cannot be merged or the weights are quantized.
    """
    settings = attached(model)
    if reason := UNMERGED.get(settings.method if settings else None):
        raise XinyeError(f"merge: {reason}")
    for parent in list(model.modules()):
        for name, child in list(parent.named_children()):
            if isinstance(child, Adapted) and isinstance(child.adapter, LoRA):
                weight = getattr(child.base_layer, "weight", None)
                if weight is None:
                    raise XinyeError(
                        "merge: the base is quantized; merge into the base that is not quantized"
                    )
                weight.copy_(child.adapter.changed(weight, child.rows))
                setattr(parent, name, child.base_layer)
    model.requires_grad_()


@torch.no_grad()
def after_step(model: nn.Module, step: int, total_steps: int) -> None:
    """Do AdaLoRA's work after step `step` (from 1), before its gradients are cleared; other methods
    need none.

    It updates the importance of each rank. If an allocation is due, it keeps only the most
    important ranks of the whole model: all of them until `tinit`, then fewer along a cubic, and
    `target_r` on average once only `tfinal` steps are left.
    """
    modules = [module for module in adapters(model) if isinstance(module, AdaLoRA)]
    if not modules:
        return
    settings = modules[0].settings.scheduled(total_steps)
    assert settings.tinit is not None and settings.tfinal is not None
    end, target = total_steps - settings.tfinal, settings.target_r * len(modules)
    for module in modules:
        module.settings = settings
        if step < end:
            module.weigh()
    if step <= settings.tinit:
        return
    masks = [module.get_buffer("mask") for module in modules]
    due = step % settings.deltaT == 0 if step < end else int(torch.cat(masks).sum()) > target
    if due:
        scores = torch.cat([module.scores() for module in modules])
        share = max(0.0, (end - step) / (end - settings.tinit)) ** 3
        budget = target + int((len(scores) - target) * share)
        kept = torch.zeros_like(scores, dtype=torch.bool)
        kept[scores.topk(budget).indices] = True
        for mask, part in zip(masks, kept.split([len(mask) for mask in masks]), strict=True):
            mask.copy_(part)
    if due or step >= end:
        for module, mask in zip(modules, masks, strict=True):
            module.lora_E.mul_(mask[:, None])


def extra_loss(model: nn.Module) -> Tensor:
    """AdaLoRA's penalty for A and B that are not orthogonal, a scalar to add to the mean loss of a
    step. It is 0 for other methods."""
    matrices = [
        matrix
        for module in adapters(model)
        if isinstance(module, AdaLoRA) and len(module.mask)  # type: ignore[arg-type]
        for matrix in (module.lora_A, module.lora_B.T)
    ]
    if not matrices:
        return torch.zeros((), device=next(model.parameters()).device)
    settings = attached(model)
    assert settings is not None
    norms = [torch.linalg.norm(m @ m.T - torch.eye(len(m), device=m.device)) for m in matrices]
    return settings.orth_reg_weight * torch.stack(norms).mean()


def ranks_of(model: nn.Module) -> dict[str, int]:
    """The rank of each matrix's change, by site."""
    return {
        module.site: int(module.kept().sum()) if isinstance(module, AdaLoRA) else len(module.lora_A)
        for module in adapters(model)
        if isinstance(module, LoRA)
    }


def adapter_state(model: nn.Module) -> dict[str, Tensor]:
    """The tensors that training changes, for a checkpoint to resume from: trainable weights, and
    AdaLoRA's importance of ranks.

    `model.load_state_dict(…, strict=False)` restores them.
    """
    buffers = {
        f"{name}.{buffer}"
        for name, module in model.named_modules()
        if isinstance(module, AdaLoRA)
        for buffer, _ in module.named_buffers()
    }
    trained = {
        name: parameter.detach()
        for name, parameter in model.named_parameters()
        if parameter.requires_grad
    }
    return trained | {name: buffer for name, buffer in model.named_buffers() if name in buffers}


def flops_per_token(model: GPT | Head, context: int) -> float:
    """Floating-point operations to train on one token of `context`, with the weights that are
    trainable now.

    The forward pass is the same for all methods. In the backward pass the gradients of activations
    take as many operations again (twice as many in attention), unless nothing below the head is
    trained. The gradients of the trained weights are added.
    """
    config, modules = model.config, adapters(model)
    if all(parameter.requires_grad for parameter in model.parameters()):
        return config.flops_per_token(context)
    gpt = _gpt(model)
    # Every token attends to the whole prefix.
    context += gpt.prefix_length * (2 if gpt.config.is_causal else 1)
    added = sum(
        parameter.numel()
        for module in modules
        if not isinstance(module, Prefix)
        for parameter in module.parameters()
        if parameter.ndim == 2
    )
    forward, weights = config.forward_flops_per_token(context), 2 * config.matrix_parameters
    head = 2 * (config.matrix_parameters - gpt.config.layer_parameters) * isinstance(model, Head)
    activations = 2 * forward - weights if modules else 0
    return forward + activations + head + 6 * added


class ParameterCount(NamedTuple):
    """One row of the table of trainable parameters. `share` is the trainable part of `total`, from
    0 to 1."""

    name: str
    trainable: int
    total: int
    share: float


def trainable_table(model: nn.Module) -> list[ParameterCount]:
    """The number of trainable and of all parameters, by kind; the last row counts all kinds."""
    settings = attached(model)
    kinds = {".norm": "norms", "layernorm": "norms", "_norm": "norms", "embed_": "embeddings",
             "self_attn": "attention", "mlp": "feed-forward"}  # fmt: skip
    if settings is not None:
        kinds = {".adapter.": settings.method, ".prefix.": settings.method} | kinds
    weights = [
        (name, weight.numel(), weight.requires_grad) for name, weight in model.named_parameters()
    ]
    for name, module in model.named_modules():
        # Quantized values are not parameters; they count as frozen.
        if isinstance(module, Quantized):
            weights.append((name, module.rows * module.columns, False))
    counts: dict[str, list[int]] = defaultdict(lambda: [0, 0])
    for name, size, trained in weights:
        kind = next((kind for part, kind in kinds.items() if part in name), "head")
        for key in (kind, "all"):
            counts[key][0] += size * trained
            counts[key][1] += size
    counts["all"] = counts.pop("all")
    return [
        ParameterCount(name, trainable, total, trainable / total)
        for name, (trainable, total) in counts.items()
    ]
