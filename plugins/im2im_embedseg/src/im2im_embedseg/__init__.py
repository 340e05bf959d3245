"""EmbedSeg for im2im: instance segmentation by spatial embeddings."""
