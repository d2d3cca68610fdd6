"""The bytes: blobs by digest, and the unfinished bytes of uploads. Knows nothing of repositories, rows or HTTP."""
