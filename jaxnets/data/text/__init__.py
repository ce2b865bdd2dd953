"""Text as numbers: tokens, a vocabulary, counts and TF-IDF; and the reviews of IMDB."""

from jaxnets.data.text.imdb import Texts, load_imdb
from jaxnets.data.text.tfidf import TfIdf, fit_tfidf
from jaxnets.data.text.tokenizers import Characters, Words, character_ngrams
from jaxnets.data.text.vocabulary import Vocabulary, build_vocabulary

__all__ = [
    "Characters",
    "Texts",
    "TfIdf",
    "Vocabulary",
    "Words",
    "build_vocabulary",
    "character_ngrams",
    "fit_tfidf",
    "load_imdb",
]
