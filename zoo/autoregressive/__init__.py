"""Autoregressive models of images. Here are only their cards, which import nothing heavy."""

from genbench.plugins.cards import ModelCard
from zoo.cards import BINARY, GREY

CARDS = (
    ModelCard(
        "fvbn",
        "zoo.autoregressive.fvbn:FVBN.build",
        "fully visible belief network, logistic conditionals",
        family="autoregressive",
        reference="Neal, Connectionist Learning of Belief Networks",
        year=1992,
        benchmarks=(BINARY,),
        capabilities=("log_prob", "training"),
    ),
    ModelCard(
        "nade",
        "zoo.autoregressive.nade:NADE.build",
        "conditionals that share one hidden layer",
        family="autoregressive",
        reference="Larochelle, Murray, The Neural Autoregressive Distribution Estimator",
        year=2011,
        benchmarks=(BINARY,),
        capabilities=("log_prob", "training"),
    ),
    ModelCard(
        "pixel-rnn-row",
        "zoo.autoregressive.pixel_rnn:RowLSTM.build",
        "a row at a time: convolutional LSTM from the top down",
        family="autoregressive",
        reference="van den Oord, Kalchbrenner, Kavukcuoglu, Pixel Recurrent Neural Networks",
        year=2016,
        benchmarks=(GREY, BINARY),
        capabilities=("log_prob", "truncation", "training"),
    ),
    ModelCard(
        "pixel-rnn-diagonal",
        "zoo.autoregressive.pixel_rnn:DiagonalBiLSTM.build",
        "a diagonal at a time: convolutional LSTMs both ways",
        family="autoregressive",
        reference="van den Oord, Kalchbrenner, Kavukcuoglu, Pixel Recurrent Neural Networks",
        year=2016,
        benchmarks=(GREY, BINARY),
        capabilities=("log_prob", "truncation", "training"),
    ),
    ModelCard(
        "pixel-cnn",
        "zoo.autoregressive.pixel_cnn:PixelCNN.build",
        "masked convolutions, exact mass, cached sampling",
        family="autoregressive",
        reference="van den Oord, Kalchbrenner, Kavukcuoglu, Pixel Recurrent Neural Networks",
        year=2016,
        benchmarks=(GREY, BINARY),
        capabilities=("log_prob", "truncation", "training"),
    ),
    ModelCard(
        "gated-pixel-cnn",
        "zoo.autoregressive.gated_pixel_cnn:GatedPixelCNN.build",
        "gated, two stacks without a blind spot",
        family="autoregressive",
        reference="van den Oord et al., Conditional Image Generation with PixelCNN Decoders",
        year=2016,
        benchmarks=(GREY, BINARY),
        capabilities=("log_prob", "truncation", "training"),
    ),
)
