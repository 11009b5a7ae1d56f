//! A device filter for a control group (version 2), as a small eBPF program.
//!
//! The kernel asks it at every open and `mknod` of a device node by a member of the group, also
//! for opens the kernel makes on the member's behalf. Ours lets the harmless character devices
//! through and nothing else, so that no tool can open a disk even where it can reach a node.
//! Program type and context: `BPF_PROG_TYPE_CGROUP_DEVICE`, `struct bpf_cgroup_dev_ctx`.

use std::io;
use std::os::fd::{AsFd, AsRawFd, FromRawFd, OwnedFd};

/// Which minor numbers of one major are let through.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Minors {
    /// Every minor number.
    All,
    /// Exactly this one.
    One(u32),
}

/// One character device, or family of them, that members of the group may open.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Allowed {
    /// Major number.
    pub major: u32,
    /// Minor numbers.
    pub minors: Minors,
}

const BPF_PROG_LOAD: libc::c_long = 5;
const BPF_PROG_ATTACH: libc::c_long = 8;
const BPF_PROG_TYPE_CGROUP_DEVICE: u32 = 15;
const BPF_CGROUP_DEVICE: u32 = 6;
const BPF_F_ALLOW_MULTI: u32 = 2;
const DEVICE_TYPE_CHAR: i32 = 2;

/// `struct bpf_insn`: opcode, registers (source high nibble, destination low), offset, immediate.
#[repr(C)]
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
struct Instruction {
    code: u8,
    registers: u8,
    offset: i16,
    immediate: i32,
}

const fn instruction(code: u8, registers: u8, offset: i16, immediate: i32) -> Instruction {
    Instruction { code, registers, offset, immediate }
}

const LOAD_WORD: u8 = 0x61; // BPF_LDX | BPF_MEM | BPF_W
const AND_IMMEDIATE: u8 = 0x54; // BPF_ALU | BPF_AND | BPF_K
const JUMP_IF_NOT: u8 = 0x55; // BPF_JMP | BPF_JNE | BPF_K
const MOVE_IMMEDIATE: u8 = 0xb7; // BPF_ALU64 | BPF_MOV | BPF_K
const EXIT: u8 = 0x95; // BPF_JMP | BPF_EXIT

/// Builds the program: character devices of the list pass, every other device is refused.
fn program(allowed: &[Allowed]) -> Vec<Instruction> {
    let mut code = vec![
        instruction(LOAD_WORD, 0x12, 0, 0), // r2 = ctx->access_type
        instruction(AND_IMMEDIATE, 0x02, 0, 0xffff),
        instruction(LOAD_WORD, 0x13, 4, 0), // r3 = ctx->major
        instruction(LOAD_WORD, 0x14, 8, 0), // r4 = ctx->minor
        instruction(JUMP_IF_NOT, 0x02, 2, DEVICE_TYPE_CHAR), // block devices: refuse
        instruction(MOVE_IMMEDIATE, 0x00, 0, 1),
        instruction(0x05, 0x00, 2, 0), // jump over the refusal
        instruction(MOVE_IMMEDIATE, 0x00, 0, 0),
        instruction(EXIT, 0x00, 0, 0),
    ];
    for device in allowed {
        let major = device.major.cast_signed();
        match device.minors {
            Minors::All => {
                code.push(instruction(JUMP_IF_NOT, 0x03, 1, major));
                code.push(instruction(EXIT, 0x00, 0, 0));
            }
            Minors::One(minor) => {
                code.push(instruction(JUMP_IF_NOT, 0x03, 2, major));
                code.push(instruction(JUMP_IF_NOT, 0x04, 1, minor.cast_signed()));
                code.push(instruction(EXIT, 0x00, 0, 0));
            }
        }
    }
    code.push(instruction(MOVE_IMMEDIATE, 0x00, 0, 0));
    code.push(instruction(EXIT, 0x00, 0, 0));
    code
}

/// First fields of `union bpf_attr` for `BPF_PROG_LOAD`; the kernel takes the rest as zero.
#[repr(C)]
struct LoadRequest {
    program_type: u32,
    instruction_count: u32,
    instructions: u64,
    license: u64,
    log_level: u32,
    log_size: u32,
    log_buffer: u64,
    kernel_version: u32,
    flags: u32,
}

/// First fields of `union bpf_attr` for `BPF_PROG_ATTACH`.
#[repr(C)]
struct AttachRequest {
    target: u32,
    program: u32,
    attach_type: u32,
    flags: u32,
}

/// Loads the filter and attaches it to the control group whose directory is open as `group`.
///
/// It stays in force for as long as the group exists.
///
/// # Errors
/// What the kernel says: `EPERM` without CAP_BPF and CAP_NET_ADMIN or CAP_SYS_ADMIN, `EINVAL`
/// where cgroup programs are not built in, `EBADF` if `group` is no version 2 control group.
pub fn attach(group: impl AsFd, allowed: &[Allowed]) -> io::Result<()> {
    let code = program(allowed);
    let license = c"MIT/Apache-2.0";
    let load = LoadRequest {
        program_type: BPF_PROG_TYPE_CGROUP_DEVICE,
        instruction_count: u32::try_from(code.len())
            .map_err(|_| io::Error::from(io::ErrorKind::InvalidInput))?,
        instructions: code.as_ptr().addr() as u64,
        license: license.as_ptr().addr() as u64,
        log_level: 0,
        log_size: 0,
        log_buffer: 0,
        kernel_version: 0,
        flags: 0,
    };
    // SAFETY: `load` is a prefix of bpf_attr of the stated size; `code` and `license`, to which it
    // points, outlive the call; the kernel only reads them.
    let number = unsafe {
        libc::syscall(libc::SYS_bpf, BPF_PROG_LOAD, &raw const load, size_of::<LoadRequest>())
    };
    let number = i32::try_from(number).map_err(|_| io::Error::from(io::ErrorKind::Other))?;
    if number < 0 {
        return Err(io::Error::last_os_error());
    }
    // SAFETY: the kernel just returned this descriptor and nothing else owns it.
    let program = unsafe { OwnedFd::from_raw_fd(number) };
    let attach = AttachRequest {
        target: group.as_fd().as_raw_fd().cast_unsigned(),
        program: program.as_raw_fd().cast_unsigned(),
        attach_type: BPF_CGROUP_DEVICE,
        flags: BPF_F_ALLOW_MULTI,
    };
    // SAFETY: `attach` is a prefix of bpf_attr of the stated size and holds no pointers.
    let answer = unsafe {
        libc::syscall(libc::SYS_bpf, BPF_PROG_ATTACH, &raw const attach, size_of::<AttachRequest>())
    };
    if answer < 0 { Err(io::Error::last_os_error()) } else { Ok(()) }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Runs the program the way the kernel would: a check by independent reading of the opcodes.
    fn verdict(code: &[Instruction], access_type: u32, major: u32, minor: u32) -> u64 {
        let mut register = [0_u64; 11];
        let context = [u64::from(access_type), u64::from(major), u64::from(minor)];
        let mut at = 0_usize;
        for _ in 0..code.len() {
            let one = code[at];
            let destination = usize::from(one.registers & 0xf);
            let mut next = at + 1;
            match one.code {
                LOAD_WORD => {
                    assert_eq!(one.registers >> 4, 1, "only the context is read");
                    register[destination] = context[usize::try_from(one.offset).unwrap() / 4];
                }
                AND_IMMEDIATE => register[destination] &= u64::try_from(one.immediate).unwrap(),
                MOVE_IMMEDIATE => register[destination] = u64::try_from(one.immediate).unwrap(),
                JUMP_IF_NOT => {
                    if register[destination] != u64::try_from(one.immediate).unwrap() {
                        next += usize::try_from(one.offset).unwrap();
                    }
                }
                0x05 => next += usize::try_from(one.offset).unwrap(),
                EXIT => return register[0],
                other => panic!("opcode {other:#x} is not used"),
            }
            at = next;
        }
        panic!("the program has no end");
    }

    #[test]
    fn blocks_disks_and_lets_the_listed_characters_through() {
        let code = program(&[
            Allowed { major: 1, minors: Minors::One(3) },
            Allowed { major: 136, minors: Minors::All },
        ]);
        let read_char = (2 << 16) | 2;
        let read_block = (2 << 16) | 1;
        assert_eq!(verdict(&code, read_char, 1, 3), 1);
        assert_eq!(verdict(&code, read_char, 136, 77), 1);
        assert_eq!(verdict(&code, read_char, 1, 1), 0, "/dev/mem");
        assert_eq!(verdict(&code, read_char, 21, 0), 0, "SCSI generic");
        assert_eq!(verdict(&code, read_block, 1, 3), 0, "a ram disk has the number of /dev/null");
        assert_eq!(verdict(&code, read_block, 8, 0), 0, "sda");
        assert_eq!(verdict(&code, (1 << 16) | 1, 259, 0), 0, "mknod of an NVMe disk");
    }

    #[test]
    fn an_empty_list_refuses_everything() {
        let code = program(&[]);
        assert_eq!(verdict(&code, (2 << 16) | 2, 1, 3), 0);
    }
}
