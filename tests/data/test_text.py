"""Tokens, vocabularies, counts and TF-IDF are those of scikit-learn."""

import json

import numpy as np
import pytest
from helpers import examples
from hypothesis import given
from hypothesis import strategies as st
from sklearn.feature_extraction.text import CountVectorizer, TfidfTransformer

from jaxnets.data import DataError, text
from jaxnets.errors import JSONError

TEXTS = [
    "The tea is good, the tea is GOOD; and it's hot!",
    "Café or tea?  No tea.\tNot  tea: a coffee.",
    "x",
    "",
    "naïve Straße 42 under_score",
]
TOKENIZERS = [
    (text.Words(), {}),
    (text.Words(lowercase=False, ngrams=(1, 3)), {"lowercase": False, "ngram_range": (1, 3)}),
    (text.Words(strip_accents=True), {"strip_accents": "unicode"}),
    (text.Words(pattern=r"\w+|[^\w\s]"), {"token_pattern": r"\w+|[^\w\s]"}),
    (text.Words(pattern=r"(\w)\w+"), {"token_pattern": r"(\w)\w+"}),
    (
        text.Words(stop_words=["the", "is"], ngrams=(2, 2)),
        {"stop_words": ["the", "is"], "ngram_range": (2, 2)},
    ),
    (text.Characters(), {"analyzer": "char"}),
    (text.Characters(ngrams=(2, 4)), {"analyzer": "char", "ngram_range": (2, 4)}),
    (
        text.Characters(within_words=True, ngrams=(2, 5)),
        {"analyzer": "char_wb", "ngram_range": (2, 5)},
    ),
]
over_tokenizers = pytest.mark.parametrize(("tokenizer", "options"), TOKENIZERS)


def columns_of(vocabulary, vectorizer):
    """Our columns in the order of scikit-learn's."""
    return [vocabulary.index[token] for token in vectorizer.get_feature_names_out()]


@over_tokenizers
def test_tokens_and_counts_are_those_of_scikit_learn(tokenizer, options):
    vectorizer = CountVectorizer(**options)
    expected = vectorizer.fit_transform(TEXTS).toarray()
    for row in TEXTS:
        assert sorted(tokenizer(row)) == sorted(vectorizer.build_analyzer()(row))
    vocabulary = text.build_vocabulary(TEXTS, tokenizer=tokenizer)
    counts = vocabulary.count(TEXTS).toarray()
    assert (counts[:, columns_of(vocabulary, vectorizer)] == expected).all()
    assert not counts[:, :2].any() and counts.dtype == np.int64
    assert (vocabulary.count(TEXTS, binary=True).toarray() == (counts > 0)).all()


@examples
@given(
    texts=st.lists(st.text("ab c.", max_size=12), min_size=1, max_size=6),
    within=st.booleans(),
    low=st.integers(1, 3),
    more=st.integers(0, 3),
)
def test_characters_of_any_text_are_those_of_scikit_learn(texts, within, low, more):
    ngrams = (low, low + more)
    analyzer = CountVectorizer(analyzer="char_wb" if within else "char", ngram_range=ngrams)
    tokenizer = text.Characters(within_words=within, ngrams=ngrams)
    for row in texts:
        assert sorted(tokenizer(row)) == sorted(analyzer.build_analyzer()(row))


@pytest.mark.parametrize(
    ("ours", "theirs"),
    [
        ({"min_documents": 2}, {"min_df": 2}),
        ({"max_documents": 1}, {"max_df": 1}),
        ({"min_documents": 0.3, "max_documents": 0.5}, {"min_df": 0.3, "max_df": 0.5}),
    ],
)
def test_rare_and_frequent_tokens_are_left_out_as_by_scikit_learn(ours, theirs):
    expected = CountVectorizer(**theirs).fit(TEXTS).get_feature_names_out()
    assert sorted(text.build_vocabulary(TEXTS, **ours).tokens) == sorted(expected)


@pytest.mark.parametrize("smooth", [True, False])
@pytest.mark.parametrize("sublinear", [True, False])
@pytest.mark.parametrize("norm", ["l1", "l2", None])
def test_tfidf_is_that_of_scikit_learn(smooth, sublinear, norm):
    counts = text.build_vocabulary(TEXTS).count(TEXTS)[:, 2:]
    theirs = TfidfTransformer(norm=norm, smooth_idf=smooth, sublinear_tf=sublinear)
    expected = theirs.fit_transform(counts).toarray()
    tfidf = text.fit_tfidf(counts, smooth=smooth, sublinear=sublinear, norm=norm)
    np.testing.assert_allclose(tfidf.apply(counts).toarray(), expected, rtol=0, atol=1e-12)
    np.testing.assert_allclose(tfidf.apply(counts.toarray()).toarray(), expected, atol=1e-12)
    other = counts[::-1] * 3
    expected = theirs.transform(other).toarray()
    np.testing.assert_allclose(tfidf.apply(other).toarray(), expected, rtol=0, atol=1e-12)


def test_a_vocabulary_keeps_the_most_frequent_tokens():
    vocabulary = text.build_vocabulary(["b a b", "c a b", "d"], 4, tokenizer=str.split)
    assert vocabulary.tokens == ("b", "a") and len(vocabulary) == 4
    tie = text.build_vocabulary(["d c b a"], 4, tokenizer=str.split)
    assert tie.tokens == ("a", "b")


def test_texts_are_encoded_cut_and_padded():
    vocabulary = text.build_vocabulary(["b a b", "a c b"], 4, tokenizer=str.split)
    encoded = vocabulary.encode(["a z b", "", "b b b b"], 3)
    assert encoded.tolist() == [[3, 1, 2], [0, 0, 0], [2, 2, 2]] and encoded.dtype == np.int32
    assert vocabulary.encode(["a", "a b"]).tolist() == [[3, 0], [3, 2]]
    assert vocabulary.encode([]).shape == (0, 0)
    assert vocabulary.decode(encoded[0]) == ["a", "?", "b"]


@over_tokenizers
def test_a_vocabulary_is_saved_with_its_tokenizer(tokenizer, options, tmp_path):
    del options
    vocabulary = text.build_vocabulary(TEXTS, tokenizer=tokenizer)
    vocabulary.save(tmp_path / "vocabulary.json")
    assert text.Vocabulary.load(tmp_path / "vocabulary.json") == vocabulary


@pytest.mark.parametrize(
    "change",
    [
        {"tokenizer": "bytes"},
        {"tokens": ["a", "a"]},
        {"tokens": [1]},
        {"options": {}},
        {"options": {"ngrams": [2, 1]}},
        {"tokens": None},
        {"tokens": "abc"},
        {"tokens": {"a": 1}},
    ],
)
def test_a_damaged_vocabulary_is_refused(change, tmp_path):
    path = tmp_path / "vocabulary.json"
    text.build_vocabulary(TEXTS).save(path)
    content = json.loads(path.read_text(encoding="utf-8"))
    path.write_text(json.dumps(content | change), encoding="utf-8")
    with pytest.raises(JSONError, match="save the vocabulary again"):
        text.Vocabulary.load(path)


def test_a_custom_tokenizer_is_not_saved(tmp_path):
    with pytest.raises(DataError, match=r"save vocabulary\.tokens"):
        text.build_vocabulary(["a b"], tokenizer=str.split).save(tmp_path / "vocabulary.json")


@pytest.mark.parametrize(
    ("call", "message"),
    [
        (lambda: text.build_vocabulary("a text"), r"write \[text\]"),
        (lambda: text.build_vocabulary(["a", None]), "text 1 is a NoneType"),
        (lambda: text.build_vocabulary([]), "try another tokenizer"),
        (lambda: text.build_vocabulary(TEXTS, 2), "size=3 or more"),
        (lambda: text.build_vocabulary(TEXTS, min_documents=1.5), "share from 0.0 to 1.0"),
        (lambda: text.build_vocabulary(TEXTS, max_documents=True), "share from 0.0 to 1.0"),
        (lambda: text.build_vocabulary(TEXTS).encode(TEXTS, 0), "length=1 or more"),
        (lambda: text.build_vocabulary(TEXTS).count("tea"), r"write \[text\]"),
        (lambda: text.build_vocabulary(None), "list of texts, but got one NoneType"),
        (lambda: text.build_vocabulary(TEXTS, tokenizer="words"), r"write text\.Words\(\)"),
        (lambda: text.Vocabulary(("a",), None), r"write text\.Words\(\)"),
        (lambda: text.Vocabulary("abc"), "list of strings, but got 'abc'"),
        (lambda: text.Vocabulary(("a", 1)), "list of strings, but got 1"),
        (lambda: text.Vocabulary(("a", "b", "b")), "got 'b' twice"),
        (lambda: text.Vocabulary(("a",)).decode([2, -1]), "from 0 to 2, but got -1"),
        (lambda: text.Vocabulary(("a",)).decode([3]), "from 0 to 2, but got 3"),
        (lambda: text.Vocabulary(("a",)).decode([[2]]), "rows of a batch one by one"),
        (lambda: text.Vocabulary(("a",)).decode([2.0]), "one row of indices"),
        (lambda: text.Words(ngrams=(2, 1)), "swap them"),
        (lambda: text.Words(ngrams=2), r"ngrams=\(shortest, longest\)"),
        (lambda: text.Words(pattern="("), "regular expression"),
        (lambda: text.Words(pattern=r"(\w)(\w)"), "at most one group"),
        (lambda: text.Words(stop_words="the"), r"write \['the'\]"),
        (lambda: text.fit_tfidf(np.ones(3)), "see Vocabulary.count"),
        (lambda: text.fit_tfidf(np.ones((0, 3))), "at least one text"),
        (lambda: text.fit_tfidf(-np.ones((1, 3))), "at least 0"),
        (lambda: text.fit_tfidf([[np.inf, 1]]), "finite counts"),
        (lambda: text.fit_tfidf(np.ones((1, 3)), norm="max"), '"l1", "l2" or None'),
        (lambda: text.fit_tfidf(np.ones((1, 3))).apply(np.ones((1, 2))), "vocabulary it was"),
    ],
)
def test_misuse_is_refused_with_the_cure(call, message):
    with pytest.raises(DataError, match=message):
        call()
