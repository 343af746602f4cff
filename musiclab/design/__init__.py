"""Design: what a study asks, as values: its fields, space, variants, trials and claims."""
