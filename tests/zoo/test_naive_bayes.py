"""Both naive Bayes models: scikit-learn's joint likelihoods, small spaces summed to 1, samples that follow them."""

from __future__ import annotations

import numpy as np
import pytest
import torch
from sklearn.naive_bayes import BernoulliNB, CategoricalNB

from genbench.contracts import Budget, Dataset, SampleSpec
from genbench.data.digits import digits, digits_binary
from genbench.errors import ModelError
from genbench.likelihood import every_state
from zoo.mixture.naive_bayes import Config, NaiveBayes
from zoo.mixture.naive_bayes_classifier import NaiveBayesClassifier


def fitted(kind, data):
    model = kind(data.spec, Config(pseudo_count=0.5))
    model.fit(data, Budget())
    return model


def test_class_joints_agree_with_scikit_learn_on_binary_digits():
    data = digits_binary()
    peer = BernoulliNB(alpha=0.5).fit(data.train.flatten(1), data.train_labels)
    joint = fitted(NaiveBayesClassifier, data).class_log_joint(data.heldout)
    counts = np.bincount(data.train_labels) + 0.5
    # scikit-learn smooths the pixels but not the classes.
    expected = peer.predict_joint_log_proba(data.heldout.flatten(1)) - peer.class_log_prior_ + np.log(counts / 1005)
    np.testing.assert_allclose(joint, expected, rtol=1e-5)


def test_class_joints_agree_with_scikit_learn_on_grey_digits():
    data = digits()
    peer = CategoricalNB(alpha=0.5, min_categories=17, fit_prior=False).fit(data.train.flatten(1), data.train_labels)
    model = fitted(NaiveBayesClassifier, data)
    expected = peer.predict_joint_log_proba(data.heldout.flatten(1)) + np.log(10)
    np.testing.assert_allclose(model.class_log_joint(data.heldout) - model.log_prior, expected, rtol=1e-5)
    assert (model.class_log_joint(data.heldout).argmax(1) == data.heldout_labels).double().mean() > 0.8


@pytest.mark.parametrize("kind", [NaiveBayes, NaiveBayesClassifier])
def test_masses_sum_to_one_and_samples_follow_them(kind):
    spec = SampleSpec((3,), 3)
    train = torch.randint(3, (40, 3)).to(torch.uint8)
    data = Dataset("tiny", spec, train, train, torch.arange(40) % 4, torch.arange(40) % 4)
    model = fitted(kind, data)
    states = every_state(3, 3)
    masses = model.log_prob(states).exp()
    assert masses.sum() == pytest.approx(1, abs=1e-6)
    drawn = model.sample(40_000).long() @ torch.tensor([9, 3, 1])
    frequencies = torch.bincount(drawn, minlength=27) / 40_000
    assert (frequencies - masses).abs().max() < 5 * (masses.max() / 40_000) ** 0.5


def test_data_without_labels_are_refused():
    with pytest.raises(ModelError, match="labelled"):
        fitted(NaiveBayesClassifier, Dataset("x", SampleSpec((2,), 2), *[torch.zeros(3, 2, dtype=torch.uint8)] * 2))
