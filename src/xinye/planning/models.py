"""Loads the models that a pretraining starts from: one to continue training, one as a teacher."""

import hashlib
from dataclasses import dataclass, field

import torch

from xinye.checkpoints.load import load_model
from xinye.data.tokenizer import Tokenizer
from xinye.errors import XinyeError
from xinye.model.build import LanguageModel
from xinye.model.quantization import unpack
from xinye.planning.settings import PretrainSettings


@dataclass(frozen=True)
class Models:
    """The models that a run starts from. `tokenizer` is that of the models, and so of the run;
    `told` is what the run's folder notes about them."""

    base: LanguageModel | None = None
    teacher: LanguageModel | None = None
    tokenizer: Tokenizer | None = None
    told: dict[str, dict[str, str]] = field(default_factory=dict)

    @property
    def most_context(self) -> int | None:
        """The largest context in tokens that all models support; None without models."""
        return min(
            (model.config.max_position_embeddings for model in (self.base, self.teacher) if model),
            default=None,
        )


FROM_SCRATCH = Models()


def load_models(settings: PretrainSettings) -> Models:
    """The models that the settings name; for a run from scratch there are none.

    Raises `XinyeError` if a model cannot be loaded, or if the two have different tokenizers.
    """
    loaded: dict[str, LanguageModel] = {}
    told: dict[str, dict[str, str]] = {}
    tokenizer: Tokenizer | None = None
    for role, name in (("from", settings.from_), ("teacher", settings.teacher)):
        if name is None:
            continue
        # What is trained on is copied into a new network, tensor by tensor.
        loaded[role], its_tokenizer = load_model(name, None if role == "from" else torch.float32)
        if role == "from":
            unpack(loaded[role])  # quantized weights cannot be trained
        told[role] = {"model": name, "fingerprint": fingerprint(loaded[role])}
        if tokenizer and its_tokenizer.fingerprint != tokenizer.fingerprint:
            raise XinyeError(
                f"{settings.from_}: its tokenizer differs from that of its teacher, {name}; both "
                "must have the same tokenizer"
            )
        tokenizer = its_tokenizer
    return Models(loaded.get("from"), loaded.get("teacher"), tokenizer, told)


def fingerprint(model: LanguageModel) -> str:
    """A hash of the names and values of all weights."""
    digest = hashlib.blake2b(digest_size=16)
    for name, tensor in model.state_dict().items():
        digest.update(name.encode())
        values = tensor.float() if tensor.is_floating_point() else tensor
        digest.update(values.contiguous().numpy())
    return digest.hexdigest()
