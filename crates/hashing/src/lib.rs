//! Digests in one pass, trees, and manifests.
