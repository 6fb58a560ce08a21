"""How the model of a checkpoint is written to a folder, and read back to resume."""

from dataclasses import dataclass
from pathlib import Path
from typing import Protocol

from safetensors.torch import load_file, save_file
from torch import Tensor, nn

from xinye.checkpoints.adapters import save_adapter
from xinye.checkpoints.huggingface import load_weights, save_model
from xinye.data.tokenizer import Tokenizer
from xinye.model.adapters import adapter_state, attached
from xinye.model.build import Network

STATE = "adapter_state.safetensors"


class ModelFiles(Protocol):
    """The files of a model."""

    def write(self, folder: Path) -> None:
        """Write the model's files into a checkpoint."""

    def read(self, folder: Path) -> None:
        """Set the model's weights to those of a checkpoint. Raises `ValueError` or `XinyeError` if
        they are damaged."""

    def saved_bytes(self) -> int:
        """The size of what `write` writes."""


@dataclass(frozen=True)
class LanguageFiles:
    """The files of a language model, with or without a head. With an adapter only the trained
    weights are saved."""

    run: Path
    model: Network
    tokenizer: Tokenizer
    base: str = ""  # the base model of an adapter

    def write(self, folder: Path) -> None:
        if attached(self.model):
            save_adapter(folder, self.model, self.base, self.tokenizer, seen_from=self.run)
            save_file(_adapter_tensors(self.model), folder / STATE)
        else:
            save_model(folder, self.model, self.tokenizer)

    def read(self, folder: Path) -> None:
        adapter = attached(self.model)
        values = load_file(folder / STATE) if adapter else load_weights(folder).state_dict()
        empty = next(self.model.parameters()).is_meta
        loaded = self.model.load_state_dict(values, strict=not adapter, assign=empty)
        if loaded.unexpected_keys:
            raise ValueError("the adapter does not belong to this model")

    def saved_bytes(self) -> int:
        if attached(self.model):
            return 2 * sum(weight.nbytes for weight in adapter_state(self.model).values())
        return sum(weight.nbytes for weight in self.model.parameters())


def _adapter_tensors(model: nn.Module) -> dict[str, Tensor]:
    """The tensors that training changes, for a model with an adapter."""
    return {
        name: tensor.detach().cpu().contiguous() for name, tensor in adapter_state(model).items()
    }
