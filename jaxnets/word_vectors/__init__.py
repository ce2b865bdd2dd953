"""Word vectors: trained on a corpus, read from files, and compared."""

from jaxnets.word_vectors.corpus import corpus_blocks
from jaxnets.word_vectors.vectors import WordVectors, load_vectors
from jaxnets.word_vectors.word2vec import Word2Vec, word2vec

__all__ = ["Word2Vec", "WordVectors", "corpus_blocks", "load_vectors", "word2vec"]
