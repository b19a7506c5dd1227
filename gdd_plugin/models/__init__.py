"""One-step text-to-image models: known names, loading and sampling."""
