"""What the counts mean to a laboratory: differential, morphology, flags."""
