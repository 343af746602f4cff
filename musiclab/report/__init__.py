"""Report: what a study has come to, in words, tables, files, samples, and as a page to read and hear."""
