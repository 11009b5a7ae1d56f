//! The system-call filter of the tools (seccomp): no mounting, no modules, no raw disk commands.
//!
//! It closes what the other layers leave to a descriptor opened for reading: pass-through commands
//! (SG_IO, NVMe) and block-device requests. Refused calls answer EPERM; everything else passes.

use std::collections::BTreeMap;

use seccompiler::{
    BpfProgram, SeccompAction, SeccompCmpArgLen, SeccompCmpOp, SeccompCondition, SeccompFilter,
    SeccompRule, TargetArch, apply_filter,
};

/// Calls no tool of the stick needs.
const CALLS: [libc::c_long; 47] = [
    libc::SYS_mount,
    libc::SYS_umount2,
    libc::SYS_move_mount,
    libc::SYS_open_tree,
    libc::SYS_fsopen,
    libc::SYS_fsconfig,
    libc::SYS_fsmount,
    libc::SYS_fspick,
    libc::SYS_mount_setattr,
    libc::SYS_pivot_root,
    libc::SYS_chroot,
    libc::SYS_unshare,
    libc::SYS_setns,
    libc::SYS_swapon,
    libc::SYS_swapoff,
    libc::SYS_init_module,
    libc::SYS_finit_module,
    libc::SYS_delete_module,
    libc::SYS_kexec_load,
    libc::SYS_kexec_file_load,
    libc::SYS_reboot,
    libc::SYS_bpf,
    libc::SYS_perf_event_open,
    libc::SYS_userfaultfd,
    libc::SYS_io_uring_setup,
    libc::SYS_io_uring_enter,
    libc::SYS_io_uring_register,
    libc::SYS_ptrace,
    libc::SYS_process_vm_writev,
    libc::SYS_open_by_handle_at,
    libc::SYS_name_to_handle_at,
    libc::SYS_mknod,
    libc::SYS_mknodat,
    libc::SYS_iopl,
    libc::SYS_ioperm,
    libc::SYS_settimeofday,
    libc::SYS_clock_settime,
    libc::SYS_acct,
    libc::SYS_quotactl,
    libc::SYS_quotactl_fd,
    libc::SYS_add_key,
    libc::SYS_request_key,
    libc::SYS_keyctl,
    libc::SYS_fanotify_init,
    libc::SYS_sethostname,
    libc::SYS_setdomainname,
    libc::SYS_vhangup,
];

/// Requests (second argument of `ioctl`) that write, configure or send commands to a device.
/// From `linux/fs.h`, `scsi/sg.h`, `scsi/scsi_ioctl.h`, `linux/cdrom.h`, `linux/hdreg.h`,
/// `linux/nvme_ioctl.h`, `linux/blkzoned.h`, `linux/mmc/ioctl.h`, `linux/blkpg.h`.
const REQUESTS: [(u32, &str); 43] = [
    (0x125d, "BLKROSET"),
    (0x125f, "BLKRRPART"),
    (0x1261, "BLKFLSBUF"),
    (0x1262, "BLKRASET"),
    (0x1264, "BLKFRASET"),
    (0x1269, "BLKPG"),
    (0x4008_1271, "BLKBSZSET"),
    (0xc048_1273, "BLKTRACESETUP"),
    (0x1277, "BLKDISCARD"),
    (0x127d, "BLKSECDISCARD"),
    (0x127f, "BLKZEROOUT"),
    (0x4010_1283, "BLKRESETZONE"),
    (0x4010_1286, "BLKOPENZONE"),
    (0x4010_1287, "BLKCLOSEZONE"),
    (0x4010_1288, "BLKFINISHZONE"),
    (0x2285, "SG_IO"),
    (0x2284, "SG_SCSI_RESET"),
    (0x0001, "SCSI_IOCTL_SEND_COMMAND"),
    (0x0005, "SCSI_IOCTL_START_UNIT"),
    (0x0006, "SCSI_IOCTL_STOP_UNIT"),
    (0x5380, "SCSI_IOCTL_DOORLOCK"),
    (0x5381, "SCSI_IOCTL_DOORUNLOCK"),
    (0x5393, "CDROM_SEND_PACKET"),
    (0x5309, "CDROMEJECT"),
    (0x031c, "HDIO_DRIVE_RESET"),
    (0x031d, "HDIO_DRIVE_TASKFILE"),
    (0x031e, "HDIO_DRIVE_TASK"),
    (0x031f, "HDIO_DRIVE_CMD"),
    (0x0323, "HDIO_SET_MULTCOUNT"),
    (0x0326, "HDIO_SET_DMA"),
    (0x032b, "HDIO_SET_WCACHE"),
    (0x032c, "HDIO_SET_ACOUSTIC"),
    (0xc048_4e41, "NVME_IOCTL_ADMIN_CMD"),
    (0x4030_4e42, "NVME_IOCTL_SUBMIT_IO"),
    (0xc048_4e43, "NVME_IOCTL_IO_CMD"),
    (0x4e44, "NVME_IOCTL_RESET"),
    (0x4e45, "NVME_IOCTL_SUBSYS_RESET"),
    (0x4e46, "NVME_IOCTL_RESCAN"),
    (0xc050_4e47, "NVME_IOCTL_ADMIN64_CMD"),
    (0xc050_4e48, "NVME_IOCTL_IO64_CMD"),
    (0xc050_4e49, "NVME_IOCTL_IO64_CMD_VEC"),
    (0xc048_b300, "MMC_IOC_CMD"),
    (0x5412, "TIOCSTI"),
];

/// Installs the filter for the calling thread and all it starts; gives the facts for a status.
///
/// # Errors
/// In words, if the filter cannot be built or the kernel does not take it.
pub fn install() -> Result<String, String> {
    let program = program().map_err(|problem| format!("building the filter: {problem}"))?;
    apply_filter(&program).map_err(|problem| format!("installing the filter: {problem}"))?;
    Ok(format!("{} calls and {} device requests refused", CALLS.len(), REQUESTS.len()))
}

fn program() -> Result<BpfProgram, seccompiler::BackendError> {
    let mut rules: BTreeMap<i64, Vec<SeccompRule>> =
        CALLS.iter().map(|call| (*call, Vec::new())).collect();
    let requests = REQUESTS
        .iter()
        .map(|(number, _)| {
            let condition = SeccompCondition::new(
                1,
                SeccompCmpArgLen::Dword,
                SeccompCmpOp::Eq,
                u64::from(*number),
            )?;
            SeccompRule::new(vec![condition])
        })
        .collect::<Result<_, _>>()?;
    rules.insert(libc::SYS_ioctl, requests);
    let refused = u32::try_from(libc::EPERM).unwrap_or(1);
    SeccompFilter::new(
        rules,
        SeccompAction::Allow,
        SeccompAction::Errno(refused),
        TargetArch::x86_64,
    )?
    .try_into()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_filter_fits_the_kernel_limit() {
        let program = program().unwrap();
        assert!(program.len() < 4096, "BPF_MAXINSNS, has {}", program.len());
    }

    /// The kernel itself vouches: in a thread of its own, refused calls fail and others pass.
    #[test]
    fn the_kernel_enforces_it() {
        std::thread::spawn(|| {
            rustix::thread::set_no_new_privs(true).unwrap();
            install().unwrap();
            let refused =
                rustix::mount::unmount("/nonexistent", rustix::mount::UnmountFlags::empty());
            assert_eq!(refused.unwrap_err(), rustix::io::Errno::PERM);
            let file = std::fs::File::open("/dev/null").unwrap();
            let refused = sys::block::set_access(&file, sys::block::Access::ReadOnly);
            assert_eq!(refused.unwrap_err(), rustix::io::Errno::PERM);
            let passed = sys::block::size_bytes(&file);
            assert_eq!(passed.unwrap_err(), rustix::io::Errno::NOTTY);
        })
        .join()
        .unwrap();
    }
}
