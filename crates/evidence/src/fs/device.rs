//! Device numbers as Linux packs them into 32 bits on disk.

/// Major and minor number out of the kernel's `new_encode_dev` form: 8 low bits, 12 bits of major, 12 more of minor.
pub(crate) fn unpacked(packed: u32) -> (u32, u32) {
    (packed >> 8 & 0xfff, packed & 0xff | packed >> 12 & 0xf_ff00)
}
