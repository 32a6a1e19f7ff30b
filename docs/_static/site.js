// Small corrections to the theme, each with its reason.
