"""Measures of models, texts and tokenizers, simple baselines, and charts."""
