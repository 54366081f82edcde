"""What people have already, taken over: img2dataset's shards, clip-retrieval's vectors, LAION's scores."""
