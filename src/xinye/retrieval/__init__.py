"""Knowledge bases: documents in, passages that answer a question out.

`documents.py` reads files, `passages.py` cuts their texts, `terms.py` says which words count,
`index.py` scores passages (BM25), `embedders.py` and `vectors.py` do so by meaning, and `fusion.py`
joins the two. `knowledge.py` keeps all of it in a folder, whose list of documents is in
`manifest.py` and whose files `format.py` reads; `versions.py` says which documents are in force,
`search.py` looks up, `evaluation.py` measures that, and `pairs.py` makes of it what a reranker
learns from. `refusal.py` says when a base has no answer, by a confidence that `confidence.py`
computes. `sentences.py` finds the sentence that answers best, and `support.py` and `numbers.py`
what an answer says that no passage does.

Knowledge graphs: `graph.py` reads triples, `entities.py` finds names in texts, and `requests.py`
says what a question of a conversation asks for.
"""
