"""Networks of hema-stream: their training, evaluation, back ends, weights and cards."""
