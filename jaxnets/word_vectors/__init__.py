"""Word vectors: trained on a corpus, read from files, and compared."""

from jaxnets.word_vectors.corpus import corpus_blocks
from jaxnets.word_vectors.fasttext import FastText, Subwords, SubwordVectors, fasttext
from jaxnets.word_vectors.glove import Glove, cooccurrences, glove
from jaxnets.word_vectors.vectors import WordVectors, load_vectors
from jaxnets.word_vectors.word2vec import Word2Vec, word2vec

__all__ = [
    "FastText",
    "Glove",
    "SubwordVectors",
    "Subwords",
    "Word2Vec",
    "WordVectors",
    "cooccurrences",
    "corpus_blocks",
    "fasttext",
    "glove",
    "load_vectors",
    "word2vec",
]
