"""From an adapter and its base to one plain model."""

from pathlib import Path
from typing import Any

from xinye.checkpoints.adapters import CONFIG, base_of, is_adapter
from xinye.checkpoints.heads import save_head
from xinye.checkpoints.huggingface import save_model
from xinye.checkpoints.load import load_adapted
from xinye.errors import XinyeError
from xinye.model.adapters import attached, ranks_of
from xinye.model.adapters import merge as merge_weights
from xinye.model.heads import Head


def merge(run: Path, output: Path, overwrite: bool = False) -> dict[str, Any]:
    """Write the model of an adapter's folder, its LoRA or AdaLoRA in the weights, to `output`;
    returns what was merged.

    Raises `XinyeError` where there is no adapter, it cannot be merged, or something else is in
    `output`.
    """
    if not is_adapter(run):
        raise XinyeError(
            f"{run}: there is no adapter here (no {CONFIG}), so it is whole as it is; xinye "
            "finetune --method lora makes one"
        )
    if output.exists() and (not output.is_dir() or (any(output.iterdir()) and not overwrite)):
        raise XinyeError(
            f"{output}: exists; choose another folder with -o, or replace its model with "
            "--overwrite"
        )
    base = base_of(run)
    if output.exists() and output.resolve() in (run.resolve(), Path(base).resolve()):
        raise XinyeError(
            f"{output}: the adapter and its base stay as they are; choose another folder with -o"
        )
    model, tokenizer = load_adapted(run, plain=True)
    ranks, settings = ranks_of(model), attached(model)
    assert settings is not None
    merge_weights(model)
    try:
        if isinstance(model, Head):
            save_head(output, model, tokenizer)
        else:
            save_model(output, model, tokenizer)
    except OSError as error:
        raise XinyeError(f"{output}: cannot write there ({error.strerror})", exit_code=1) from error
    return {
        "output": str(output),
        "base": base,
        "method": settings.method,
        "matrices": len(ranks),
        "lowest_rank": min(ranks.values()),
        "highest_rank": max(ranks.values()),
    }
