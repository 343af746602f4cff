"""What music and models measure: pure functions from rolls and latents to numbers, each with its rule for NaN."""
