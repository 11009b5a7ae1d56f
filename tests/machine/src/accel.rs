//! Which accelerator QEMU uses: emulation, unless KVM is asked for and really works.
//!
//! On nested hosts KVM can exist and still die in the kernel's decompressor, so it is tried with
//! one short boot before anything relies on it.

use crate::process::Owned;
use std::path::Path;
use std::sync::OnceLock;
use std::time::Duration;

/// `-accel` and `-cpu` of a machine.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Accel {
    /// QEMU's own emulation; `-cpu max` gives the guest SHA-NI.
    Tcg,
    /// The host's processor.
    Kvm,
}

impl Accel {
    /// Emulation, or KVM when `GLOVEBOX_KVM=1` and a short boot of `kernel` ended well. Without a
    /// kernel to try, what an earlier machine found out is used.
    #[must_use]
    pub fn choose(kernel: Option<&Path>) -> Self {
        static FOUND: OnceLock<Accel> = OnceLock::new();
        let asked = std::env::var("GLOVEBOX_KVM").is_ok_and(|v| v == "1");
        match kernel {
            Some(kernel) if asked => *FOUND.get_or_init(|| {
                let works = kvm_boots(kernel);
                eprintln!(
                    "KVM was asked for and {}",
                    if works { "works" } else { "does not work" }
                );
                if works { Self::Kvm } else { Self::Tcg }
            }),
            _ => FOUND.get().copied().unwrap_or(Self::Tcg),
        }
    }

    /// The arguments for QEMU.
    #[must_use]
    pub fn arguments(self) -> [&'static str; 4] {
        match self {
            Self::Tcg => ["-accel", "tcg", "-cpu", "max"],
            Self::Kvm => ["-accel", "kvm", "-cpu", "host"],
        }
    }
}

/// Without an initrd the kernel panics at once and `panic=-1` resets: QEMU ends by itself.
fn kvm_boots(kernel: &Path) -> bool {
    let Ok(folder) = tempfile::tempdir() else { return false };
    let kernel = kernel.to_string_lossy();
    let arguments: Vec<String> = [
        "-machine",
        "q35",
        "-accel",
        "kvm",
        "-cpu",
        "host",
        "-m",
        "256",
        "-display",
        "none",
        "-nodefaults",
        "-no-reboot",
        "-append",
        "panic=-1",
        "-kernel",
        &kernel,
    ]
    .map(str::to_owned)
    .to_vec();
    Owned::start(crate::builder::QEMU, &arguments, &folder.path().join("log"))
        .and_then(|mut qemu| qemu.wait(Duration::from_secs(10)))
        .is_ok_and(|status| status.success())
}
