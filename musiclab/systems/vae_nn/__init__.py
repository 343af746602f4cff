"""The system vae_nn: one VAE a track, and networks that predict the next window's latents."""
