"""Build a network from its config."""

from xinye.model.config import GPTConfig, LSTMConfig
from xinye.model.gpt import GPT
from xinye.model.heads import Head
from xinye.model.lstm import LSTM

Config = GPTConfig | LSTMConfig
LanguageModel = GPT | LSTM
Network = LanguageModel | Head


def build(config: Config) -> LanguageModel:
    """The network of a config; its weights are not initialised yet."""
    return LSTM(config) if isinstance(config, LSTMConfig) else GPT(config)
