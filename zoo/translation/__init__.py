"""Image-to-image models. Here are only their cards, which import nothing heavy."""

from genbench.plugins.cards import ModelCard

CARDS = (
    ModelCard(
        "pix2pix",
        "zoo.translation.pix2pix:Pix2Pix.build",
        "paired: a U-Net, a PatchGAN of pairs, and an L1 loss",
        family="translation",
        reference="Isola, Zhu, Zhou, Efros, Image-to-Image Translation with Conditional Adversarial Networks",
        year=2017,
        benchmarks=("edges2digits", "pose", "slant"),
        capabilities=("translation", "training"),
    ),
    ModelCard(
        "cyclegan",
        "zoo.translation.cyclegan:CycleGAN.build",
        "unpaired: there and back again is where it started",
        family="translation",
        reference="Zhu et al., Unpaired Image-to-Image Translation using Cycle-Consistent Adversarial Networks",
        year=2017,
        benchmarks=("thin2bold", "edges2digits"),
        capabilities=("translation", "cycle", "training"),
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
    ),
)
