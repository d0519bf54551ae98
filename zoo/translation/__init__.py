"""Image-to-image models. Here are only their cards, which import nothing heavy."""

from genbench.plugins.cards import ModelCard

# What several models depart from their papers by.
SMALLER = "narrower and shallower networks, minibatches of 16 to 32, fewer steps, for images of 8 x 8 and 28 x 28"
FULL = "generators start and end at the full resolution with kernels of 3 x 3"
BARE = "no normalisation in the discriminator, by which a patch would see the whole image"
AVERAGED = "the weights are a moving average over the training (EMA), which the paper does not take"
NOISE = "on 8 x 8: noise on the images that the discriminator sees, against knowing a thousand of them by heart"
STEADY = "the learning rate does not fall in the second half of the training"
SHARED = (SMALLER, FULL, BARE, AVERAGED, NOISE)

CARDS = (
    ModelCard(
        "pix2pix",
        "zoo.translation.pix2pix:Pix2Pix.build",
        "paired: a U-Net, a PatchGAN of pairs, and an L1 loss",
        family="translation",
        reference="Isola, Zhu, Zhou, Efros, Image-to-Image Translation with Conditional Adversarial Networks",
        year=2017,
        benchmarks=("edges2digits", "pose", "slant", "edges2mnist"),
        capabilities=("translation", "training"),
        deviations=(
            *SHARED,
            "instance norm in the U-Net, as the paper's batch norm is for a minibatch of one image",
            "on 8 x 8: no dropout, and 30, not 100, as the weight of the L1 loss",
        ),
    ),
    ModelCard(
        "cyclegan",
        "zoo.translation.cyclegan:CycleGAN.build",
        "unpaired: there and back again is where it started",
        family="translation",
        reference="Zhu et al., Unpaired Image-to-Image Translation using Cycle-Consistent Adversarial Networks",
        year=2017,
        benchmarks=("thin2bold", "edges2digits", "edges2mnist"),
        capabilities=("translation", "cycle", "training"),
        deviations=(*SHARED, STEADY, "two residual blocks on 8 x 8 and three on 28 x 28, not nine"),
    ),
    ModelCard(
        "pose-gan",
        "zoo.translation.pose_gan:PoseGAN.build",
        "two stages: a coarse image, then its refinement",
        family="translation",
        reference="Ma, Jia, Sun, Schiele, Tuytelaars, Van Gool, Pose Guided Person Image Generation",
        year=2017,
        benchmarks=("pose",),
        capabilities=("translation", "training"),
        deviations=(
            *SHARED,
            "four key points, not 18, in grey maps that tell where a point lies between pixels",
            "the pose mask is the neighbourhood of the key points, without the limbs between them",
            "a patch discriminator, not the DCGAN's",
            "on 8 x 8: the L1 loss of the second stage weighs 30, as pix2pix's there, not 10",
        ),
    ),
    ModelCard(
        "ganimation",
        "zoo.translation.ganimation:GANimation.build",
        "a continuous condition, masks of attention and colour",
        family="translation",
        reference="Pumarola et al., GANimation: Anatomically-aware Facial Animation from a Single Image",
        year=2018,
        benchmarks=("slant",),
        capabilities=("translation", "training"),
        deviations=(
            *SHARED,
            "on 8 x 8: two steps of the critic for each of the generator's, not five, and 50 as the condition's weight",
            "one number as the condition, the slant, not the activations of a face's muscles",
        ),
    ),
)
