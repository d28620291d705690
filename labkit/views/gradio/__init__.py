"""What the Gradio apps are made of."""
