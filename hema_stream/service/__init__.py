"""Running the product's pipelines for whoever asks: the command line today, the web service beside it."""
