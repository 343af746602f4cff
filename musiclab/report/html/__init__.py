"""The page: what a study has come to, to be read and heard in a browser, from one file."""
