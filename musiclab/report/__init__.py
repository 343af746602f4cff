"""Report: a study's results in sentences, tables, files and samples, and as a page to read and hear."""
