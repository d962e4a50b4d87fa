"""What the scripts share: see "Files of the code" in README.md. Arrows point one way: scripts, slm, model.py."""
