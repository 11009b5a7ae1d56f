//! Collections of files instead of a disk: a plain directory, and a tar archive (UAC, acquire), shown as file systems.
