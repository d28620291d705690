"""The demo: a few prompts become pictures, and one page shows them."""
