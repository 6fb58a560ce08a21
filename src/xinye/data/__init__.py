"""Files in, documents, cleaning, tokenizer, corpus, batches; and the story world."""
