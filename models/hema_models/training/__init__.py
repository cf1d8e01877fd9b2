"""Training of the segmenter and of the two classifiers, from labelled smears to safetensors."""
