//! Which safety layers a test image leaves out.
//!
//! The released program has no such switch: without the feature `knockout` the list is empty
//! whatever the kernel line says, so nobody can weaken a stick by editing its boot line.

/// The layers, by the names used in status, tests and the threat model.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Layer {
    /// The kernel's read-only flag on each disk.
    DiskLock,
    /// Tools run without capabilities.
    Capabilities,
    /// Tools run as an ordinary user.
    Unprivileged,
    /// Tools see no disk node.
    MountView,
    /// Landlock domain.
    Landlock,
    /// Device filter of the control group.
    DeviceFilter,
    /// System-call filter.
    SyscallFilter,
    /// Descriptors that refuse device requests.
    Descriptor,
}

impl Layer {
    /// Every layer that can be left out.
    #[cfg(test)]
    pub(crate) const ALL: [Self; 8] = [
        Self::DiskLock,
        Self::Capabilities,
        Self::Unprivileged,
        Self::MountView,
        Self::Landlock,
        Self::DeviceFilter,
        Self::SyscallFilter,
        Self::Descriptor,
    ];

    /// The name on the kernel line.
    pub(crate) fn name(self) -> &'static str {
        match self {
            Self::DiskLock => "blkroset",
            Self::Capabilities => "caps",
            Self::Unprivileged => "uid",
            Self::MountView => "mountns",
            Self::Landlock => "landlock",
            Self::DeviceFilter => "cgroup",
            Self::SyscallFilter => "seccomp",
            Self::Descriptor => "descriptor",
        }
    }

    /// True if this (test) image was told to leave the layer out.
    pub(crate) fn knocked_out(self) -> bool {
        cfg!(feature = "knockout")
            && std::fs::read_to_string("/proc/cmdline").is_ok_and(|line| named(&line, self.name()))
    }
}

fn named(kernel_line: &str, layer: &str) -> bool {
    kernel_line
        .split_ascii_whitespace()
        .filter_map(|word| word.strip_prefix("glovebox.knockout="))
        .flat_map(|list| list.split(','))
        .any(|name| name == layer)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_whole_names_count() {
        assert!(named("quiet glovebox.knockout=caps,uid x", "uid"));
        assert!(!named("quiet glovebox.knockout=caps,uid x", "ui"));
        assert!(!named("quiet knockout=caps", "caps"));
    }

    #[test]
    fn the_released_program_has_no_switch() {
        if !cfg!(feature = "knockout") {
            assert!(Layer::ALL.iter().all(|layer| !layer.knocked_out()));
        }
    }
}
