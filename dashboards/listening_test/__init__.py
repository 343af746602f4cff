"""The pages of `musiclab listen`: a blind listening test over a study, served or as one file."""
