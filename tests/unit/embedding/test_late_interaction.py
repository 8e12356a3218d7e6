"""Late interaction: weights follow words, scores are means of best cosines."""

from __future__ import annotations

import math

import numpy as np
import pytest

from services.embedding.engines.hash_encoder import HashEncoder
from services.embedding.late_interaction import late_interaction_score, token_weights
from services.embedding.options import InputKind
from services.rpc.errors import InvalidArgumentError


def located(query):
    return HashEncoder().locate([query], InputKind.QUERY)[0]


def test_equal_weights_by_default():
    np.testing.assert_allclose(token_weights("a b c", located("a b c"), []), [1 / 3] * 3)


def test_the_tokens_of_a_word_share_its_weight():
    query = "rock don't"  # the second word has three tokens
    weights = token_weights(query, located(query), [1, 3])
    np.testing.assert_allclose(weights, [0.25, 0.25, 0.25, 0.25])


def test_words_that_occur_twice_keep_their_own_weights():
    query = "a  ab a"
    np.testing.assert_allclose(token_weights(query, located(query), [0, 1, 3]), [0, 0.25, 0.75])


@pytest.mark.parametrize("weights", [[1], [1, 2, 3], [1, -1], [math.nan, 1], [math.inf, 1], [0, 0]])
def test_weights_that_do_not_fit_are_refused(weights):
    with pytest.raises(InvalidArgumentError, match="query_word_weights"):
        token_weights("two words", located("two words"), weights)


def test_the_score_is_the_weighted_mean_of_best_cosines():
    query = np.eye(3, dtype=np.float32)[:2]
    passage = np.array([[0.6, 0.8, 0.0], [0.0, 0.6, 0.8]], dtype=np.float32)
    weights = np.array([0.5, 0.5], dtype=np.float32)
    assert late_interaction_score(query, weights, passage) == pytest.approx(0.7)
    assert late_interaction_score(query, np.array([1, 0], np.float32), passage) == pytest.approx(
        0.6
    )


def test_a_passage_without_tokens_scores_zero():
    assert (
        late_interaction_score(np.eye(2, dtype=np.float32), np.ones(2) / 2, np.zeros((0, 2))) == 0
    )
