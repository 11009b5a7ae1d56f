//! The read-only view of evidence: disks and images, partitions, file systems, files.
