"""What the families' cards share: the boards that many models stand on, and what latent-variable models offer."""

GREY, BINARY = "digits", "digits-binary"
LATENT = ("latent", "training")
