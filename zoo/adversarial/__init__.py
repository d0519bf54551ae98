"""The game between a generator and a discriminator, its losses and penalties: what GANs and translators share."""
