"""What the families' cards share: the boards that many models stand on, and what latent-variable models offer."""

GREY, BINARY = "digits", "digits-binary"
LATENT = ("latent", "training")
MNIST, MNIST_BINARY, MNIST_DYNAMIC = "mnist", "mnist-binary", "mnist-dynamic"
ADAM = "Adam with a cosine schedule and averaged weights in place of the paper's gradient descent"
CHOSEN = "the best of 25 averages on the way, by validation items of the train split"
