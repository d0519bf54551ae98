"""What comes with genbench: cards of its datasets, feature extractors and metrics, importing nothing heavy.

They are found through entry points, as everybody's are; a bundled part is added by writing its file and its line here.
"""

from __future__ import annotations

from genbench.plugins.cards import Card


def datasets() -> list[Card]:
    """Targets take the folder to read from (None: the cache, downloading what is missing) and return a Dataset."""
    return [
        Card("digits", "genbench.data.digits:digits", "8x8 handwritten digits, 17 levels, bundled with scikit-learn"),
        Card("digits-binary", "genbench.data.digits:digits_binary", "the digits thresholded at 8, 2 levels"),
        Card("weather", "genbench.data.weather:weather", "30 days of sun, rain and fog from a known Markov chain"),
        Card("strokes", "genbench.data.strokes:strokes", "the digits as pen directions, 16 levels"),
        Card(
            "strokes-positions", "genbench.data.strokes:strokes_positions", "the digits as pen positions, real-valued"
        ),
        Card("pendigits", "genbench.data.strokes:pendigits", "digits written with a pen, as directions, 16 levels"),
        Card(
            "pendigits-positions",
            "genbench.data.strokes:pendigits_positions",
            "digits written with a pen, as positions, real-valued",
        ),
        Card("tones", "genbench.data.tones:tones", "short harmonic tones, 8-bit mu-law at 8 kHz"),
        Card("edges2digits", "genbench.data.translation:edges2digits", "outlines of the digits, and the digits"),
        Card("thin2bold", "genbench.data.translation:thin2bold", "half of the digits, and the other half made bold"),
        Card("pose", "genbench.data.translation:pose", "turned digits and key points of a pose, and the digits in it"),
        Card("slant", "genbench.data.translation:slant", "leaning digits and a slant, and the digits at that slant"),
        Card("mnist", "genbench.data.mnist:mnist", "28x28 handwritten digits, 256 levels"),
        Card("edges2mnist", "genbench.data.edges2mnist:edges2mnist", "outlines of MNIST's digits, and the digits"),
        Card("mnist-binary", "genbench.data.mnist:mnist_binary", "the fixed binarization of MNIST, 2 levels"),
        Card("mnist-dynamic", "genbench.data.mnist:mnist_dynamic", "MNIST binarized anew at every step, 2 levels"),
        Card("fashion-mnist", "genbench.data.mnist:fashion_mnist", "28x28 pictures of clothes, 256 levels"),
        Card("cifar10", "genbench.data.cifar:cifar10", "3x32x32 colour photographs of ten classes, 256 levels"),
    ]


def features() -> list[Card]:
    """Targets take a SampleSpec and return a FeatureExtractor, or raise InputError where it does not fit."""
    return [
        Card("identity", "genbench.features.identity:identity", "flattened values scaled to [0, 1]"),
        Card("transitions", "genbench.features.transitions:transitions", "how many times each symbol follows each"),
        Card("pen-path", "genbench.features.pen_path:pen_path", "where the pen is at every step, centred"),
        Card("spectrum", "genbench.features.spectrum:spectrum", "log power of the frequency bands of mu-law audio"),
        Card("digits-cnn", "genbench.features.classifier:digits_cnn", "a classifier of the 8x8 digits, 64 features"),
        Card("mnist-cnn", "genbench.features.classifier:mnist_cnn", "a classifier of MNIST, 128 features"),
        Card(
            "inception",
            "genbench.features.inception:inception",
            "the network behind published FIDs; inception:64, :192, :768, :2048, :logits, :spatial; "
            "--weights or a download",
        ),
        Card(
            "torchvision",
            "genbench.features.torchvision_network:torchvision_features",
            "any network of torchvision, torchvision:NAME[:LAYER], as torchvision:vgg16",
        ),
        Card("dinov2", "genbench.features.dino:dinov2", "DINOv2 ViT-L/14, behind FD-DINOv2; genbench[features]"),
        Card(
            "clip",
            "genbench.features.open_clip_network:clip",
            "CLIP ViT-L/14 at 336 pixels, behind CMMD; clip:224; genbench[features]",
        ),
        Card(
            "timm",
            "genbench.features.timm_network:timm_features",
            "any network of timm, timm:NAME, as timm:convnext_base.fb_in22k_ft_in1k; genbench[features]",
        ),
        Card(
            "open_clip",
            "genbench.features.open_clip_network:open_clip_features",
            "any image encoder of open_clip, open_clip:NAME[:WEIGHTS]; genbench[features]",
        ),
        Card(
            "efficientnet-lite0",
            "genbench.features.efficientnet_lite:efficientnet_lite0",
            "a small classifier of photographs, 1,280 features, no download; genbench[photographs]",
        ),
    ]


def metrics() -> list[Card]:
    """Targets take nothing and return a Metric."""
    return [
        Card("fid", "genbench.metrics.frechet:FrechetDistance", "Fréchet distance of the features"),
        Card("is", "genbench.metrics.inception:InceptionScore", "Inception Score of the class probabilities"),
        Card("precision-recall", "genbench.metrics.prdc:PrecisionRecall", "k-NN precision and recall"),
        Card("classes", "genbench.metrics.classes:Classes", "classes that the samples cover, and their entropy"),
        Card("likelihood", "genbench.metrics.log_likelihood:LogLikelihood", "held-out nats and bits per dimension"),
        Card("gap", "genbench.metrics.log_likelihood:GapToTruth", "nats lost against the true distribution"),
        Card("outliers", "genbench.metrics.outliers:OutlierDetection", "AUROC of held-out items against outliers"),
        Card(
            "reconstruction",
            "genbench.metrics.reconstruction:Reconstruction",
            "errors of reconstruct, and of denoising",
        ),
        Card("paired-error", "genbench.metrics.translation:PairedError", "translations against their right answers"),
        Card("cycle-error", "genbench.metrics.translation:CycleError", "sources against what comes back of them"),
        Card("class-kept", "genbench.metrics.translation:ClassKept", "translations that show their source's class"),
        Card("accuracy", "genbench.metrics.accuracy:Accuracy", "held-out accuracy of a generative classifier"),
        Card("fid-infinity", "genbench.metrics.unbiased_fid:FidInfinity", "FID of endless samples"),
        Card("per-class-fid", "genbench.metrics.per_class:PerClassFid", "the mean of the FIDs within each class"),
        Card("kid", "genbench.metrics.maximum_mean_discrepancy:KernelDistance", "unbiased MMD^2 with a cubic kernel"),
        Card("mind", "genbench.metrics.sliced_wasserstein:Mind", "sliced Wasserstein distance of the features"),
        Card("density-coverage", "genbench.metrics.prdc:DensityCoverage", "k-NN density and coverage"),
        Card("vendi", "genbench.metrics.vendi:VendiScore", "the effective number of different samples"),
        Card("memorization", "genbench.metrics.data_copying:Memorization", "are samples too near to the train split?"),
        Card("sfid", "genbench.metrics.representations:SpatialFrechetDistance", "FID of maps that keep their place"),
        Card("fd-dinov2", "genbench.metrics.representations:Dinov2FrechetDistance", "FID through DINOv2 ViT-L/14"),
        Card("fdr", "genbench.metrics.representations:FrechetRatio", "Fréchet distances in units of real items', mean"),
        Card("cmmd", "genbench.metrics.clip_mmd:Cmmd", "unbiased MMD^2 of CLIP embeddings, Gaussian kernel"),
        Card("clipped", "genbench.metrics.clipped:Clipped", "clipped density and coverage: shares of good samples"),
        Card("rke", "genbench.metrics.renyi_entropy:Rke", "the number of modes by Rényi kernel entropy"),
        Card("authenticity", "genbench.metrics.authentic:Authenticity", "samples that copy no training item"),
        Card("fls", "genbench.metrics.feature_likelihood:FeatureLikelihood", "held-out likelihood around the samples"),
        Card("parzen", "genbench.metrics.parzen:Parzen", "Parzen-window estimate for generators without a likelihood"),
    ]
