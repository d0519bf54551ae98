"""Mixtures and generative classifiers. Here are only their cards, which import nothing heavy."""

from genbench.plugins.cards import ModelCard
from zoo.cards import BINARY, GREY

CARDS = (
    ModelCard(
        "naive-bayes",
        "zoo.mixture.naive_bayes:NaiveBayes.build",
        "every dimension on its own",
        family="mixture",
        reference="Maron, Automatic Indexing: An Experimental Inquiry",
        year=1961,
        benchmarks=(GREY, BINARY, "weather", "strokes", "pendigits", "tones"),
        capabilities=("log_prob", "training"),
        deviations=(
            "one class of items for all, where the inquiry has one for each subject",
            "half a count added to every level",
        ),
    ),
    ModelCard(
        "naive-bayes-classifier",
        "zoo.mixture.naive_bayes_classifier:NaiveBayesClassifier.build",
        "given its class, every dimension on its own",
        family="mixture",
        reference="Maron, Automatic Indexing: An Experimental Inquiry",
        year=1961,
        benchmarks=(GREY, BINARY),
        capabilities=("log_prob", "class_joint", "training"),
        deviations=(
            "pixels in place of words",
            "half a count added to every level",
        ),
    ),
    ModelCard(
        "gaussian-classifier-lda",
        "zoo.mixture.gaussian_classifier:LinearDiscriminant.build",
        "a Gaussian per class, one covariance for all",
        family="mixture",
        reference="Fisher, The Use of Multiple Measurements in Taxonomic Problems",
        year=1936,
        benchmarks=(GREY, BINARY),
        capabilities=("log_prob", "class_joint", "training"),
    ),
    ModelCard(
        "gaussian-classifier-qda",
        "zoo.mixture.gaussian_classifier:QuadraticDiscriminant.build",
        "a Gaussian per class, each with its own covariance",
        family="mixture",
        reference="Smith, Some Examples of Discrimination",
        year=1946,
        benchmarks=(GREY, BINARY),
        capabilities=("log_prob", "class_joint", "training"),
    ),
    ModelCard(
        "gaussian-mixture",
        "zoo.mixture.gaussian_mixture:GaussianMixture.build",
        "full covariances, fitted by EM",
        family="mixture",
        reference="Dempster, Laird, Rubin, Maximum Likelihood from Incomplete Data via the EM Algorithm",
        year=1977,
        benchmarks=(GREY,),
        capabilities=("log_prob", "training"),
        deviations=(
            "full covariances shrunk towards the pooled one",
            "EM on the logits of values dequantized anew in each iteration, from means spread by k-means++",
        ),
    ),
)
