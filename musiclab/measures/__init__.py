"""What music and models measure: pure functions from rolls and latents to numbers, each with its rule for NaN."""

# Raised whenever the numbers of any measure change, so that trials are measured anew; see `musiclab.code_lock`.
REVISION = 2
