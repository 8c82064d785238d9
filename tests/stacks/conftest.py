"""What pytest is not to import here: programs that run elsewhere, on libraries of their own."""

collect_ignore = ["programs"]
