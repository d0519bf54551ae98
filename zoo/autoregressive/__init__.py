"""Autoregressive models of images. Here are only their cards, which import nothing heavy."""

from genbench.plugins.cards import ModelCard, Published
from zoo.cards import ADAM, BINARY, CHOSEN, GREY, MNIST_BINARY

CARDS = (
    ModelCard(
        "fvbn",
        "zoo.autoregressive.fvbn:FVBN.build",
        "fully visible belief network, logistic conditionals",
        family="autoregressive",
        reference="Neal, Connectionist Learning of Belief Networks",
        year=1992,
        benchmarks=(BINARY, MNIST_BINARY),
        capabilities=("log_prob", "training"),
        deviations=(
            "a Gaussian prior over the weights, of precision 2",
            ADAM,
            CHOSEN,
        ),
        published=(Published(MNIST_BINARY, 97.45, "Larochelle, Murray 2011", "10,000 steps of 100"),),
    ),
    ModelCard(
        "nade",
        "zoo.autoregressive.nade:NADE.build",
        "conditionals that share one hidden layer",
        family="autoregressive",
        reference="Larochelle, Murray, The Neural Autoregressive Distribution Estimator",
        year=2011,
        benchmarks=(BINARY, MNIST_BINARY),
        capabilities=("log_prob", "training"),
        deviations=(
            ADAM,
            CHOSEN,
        ),
        published=(
            Published(
                MNIST_BINARY, 88.33, "Larochelle, Murray 2011, as Germain et al. 2015 quote it", "10,000 steps of 100"
            ),
        ),
    ),
    ModelCard(
        "eonade",
        "zoo.autoregressive.eonade:EoNADE.build",
        "one NADE for all orderings, an ensemble of 16 of them",
        family="autoregressive",
        reference="Uria, Murray, Larochelle, A Deep and Tractable Density Estimator",
        year=2014,
        benchmarks=(BINARY, MNIST_BINARY),
        capabilities=("log_prob", "training"),
        deviations=(
            "one hidden layer, and 16 orderings where the paper has up to 128",
            ADAM,
            CHOSEN,
        ),
        published=(
            Published(MNIST_BINARY, 87.71, "Uria et al. 2014, one layer, 128 orderings", "40,000 steps of 100"),
        ),
    ),
    ModelCard(
        "made",
        "zoo.autoregressive.made:MADE.build",
        "an autoencoder with masked weights, a mixture of orderings",
        family="autoregressive",
        reference="Germain, Gregor, Murray, Larochelle, MADE: Masked Autoencoder for Distribution Estimation",
        year=2015,
        benchmarks=(BINARY, MNIST_BINARY),
        few_on=(MNIST_BINARY,),  # 600 s
        capabilities=("log_prob", "training"),
        deviations=(
            "Adam in place of Adagrad",
            "on MNIST one layer of 2,000 units and 8 masks, where the paper has up to two of 8,000 and 32 masks",
            CHOSEN,
        ),
        published=(Published(MNIST_BINARY, 86.64, "Germain et al. 2015, two layers, 32 masks", "15,000 steps of 100"),),
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
        deviations=(
            "3 layers on the digits, and narrower ones on MNIST",
            "a thermometer of 16 marks in place of the level at the input, a bias for every position, dropout",
            "Adam in place of RMSProp",
        ),
        published=(Published(MNIST_BINARY, 80.54, "van den Oord et al. 2016, Row LSTM", "30,000 steps of 8"),),
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
        deviations=(
            "2 layers where the paper has 7 on MNIST",
            "a thermometer of 16 marks in place of the level at the input, a bias for every position, dropout",
            "Adam in place of RMSProp",
        ),
        published=(
            Published(
                MNIST_BINARY, 79.20, "van den Oord et al. 2016, Diagonal BiLSTM of 7 layers", "30,000 steps of 8"
            ),
        ),
    ),
    ModelCard(
        "pixel-cnn",
        "zoo.autoregressive.pixel_cnn:PixelCNN.build",
        "masked convolutions, exact mass, cached sampling",
        family="autoregressive",
        reference="van den Oord, Kalchbrenner, Kavukcuoglu, Pixel Recurrent Neural Networks",
        year=2016,
        benchmarks=(GREY, BINARY, MNIST_BINARY),
        few_on=(MNIST_BINARY,),  # 900 s
        capabilities=("log_prob", "truncation", "training"),
        deviations=(
            "on the digits 5x5 filters and no further layers of single pixels",
            "a thermometer of 16 marks in place of the level at the input, a bias for every position, dropout",
            f"Adam in place of RMSProp; on MNIST {CHOSEN}",
        ),
        published=(Published(MNIST_BINARY, 81.30, "van den Oord et al. 2016, PixelCNN", "30,000 steps of 16"),),
    ),
    ModelCard(
        "gated-pixel-cnn",
        "zoo.autoregressive.gated_pixel_cnn:GatedPixelCNN.build",
        "gated, two stacks without a blind spot",
        family="autoregressive",
        reference="van den Oord et al., Conditional Image Generation with PixelCNN Decoders",
        year=2016,
        benchmarks=(GREY, BINARY),
        few_on=(MNIST_BINARY,),  # 600 s
        capabilities=("log_prob", "truncation", "training"),
        deviations=(
            "unconditional; gated-pixel-cnn-classes is told the classes, as its paper",
            "a thermometer of 16 marks in place of the level at the input, a bias for every position, dropout",
            "Adam in place of RMSProp",
        ),
    ),
    ModelCard(
        "gated-pixel-cnn-classes",
        "zoo.autoregressive.gated_pixel_cnn:ConditionalPixelCNN.build",
        "the same told the class at every gate: p(x|y), a mixture over classes, a classifier",
        family="autoregressive",
        reference="van den Oord et al., Conditional Image Generation with PixelCNN Decoders",
        year=2016,
        capabilities=("log_prob", "truncation", "class_joint", "training"),
        deviations=(
            "a thermometer of 16 marks in place of the level at the input, a bias for every position, dropout",
            "Adam in place of RMSProp",
        ),
    ),
)
