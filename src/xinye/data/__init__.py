"""Reading files, cleaning text, tokenizers, tokenized corpora and training batches."""
