//! MD5 and SHA-256 of the same blocks in one loop, SHA-1 with them if wanted, by the processor's SHA instructions.
//!
//! MD5 is one long chain of dependent additions, the others use units that MD5 leaves idle. Four steps of the one between
//! four rounds of the others let all run in about the time of MD5 alone, which no crate offers. Only whole blocks are taken:
//! padding and lengths are the caller's. RFC 1321 section 3.4; FIPS 180-4 sections 6.1.2 and 6.2.2.

mod tables;
#[cfg(target_arch = "x86_64")]
mod x86;

/// Proof that this processor has the instructions; there is no other way to reach the code that uses them.
#[derive(Clone, Copy, Debug)]
pub struct Together(());

impl Together {
    /// Looks at the processor; `None` where it lacks the SHA extensions.
    #[must_use]
    pub fn detect() -> Option<Self> {
        #[cfg(target_arch = "x86_64")]
        if is_x86_feature_detected!("sha")
            && is_x86_feature_detected!("sse4.1")
            && is_x86_feature_detected!("ssse3")
        {
            return Some(Self(()));
        }
        None
    }

    /// Takes `blocks` into both states.
    pub fn compress(self, md5: &mut [u32; 4], sha256: &mut [u32; 8], blocks: &[[u8; 64]]) {
        #[cfg(target_arch = "x86_64")]
        // SAFETY: a value of this type exists only after `detect` has seen the features the function is compiled for.
        unsafe {
            x86::compress(md5, sha256, blocks);
        }
        // Elsewhere no value of this type exists.
        #[cfg(not(target_arch = "x86_64"))]
        let _unreachable = (md5, sha256, blocks);
    }

    /// Takes `blocks` into all three states.
    pub fn compress_three(
        self,
        md5: &mut [u32; 4],
        sha1: &mut [u32; 5],
        sha256: &mut [u32; 8],
        blocks: &[[u8; 64]],
    ) {
        #[cfg(target_arch = "x86_64")]
        // SAFETY: as above.
        unsafe {
            x86::compress_three(md5, sha1, sha256, blocks);
        }
        #[cfg(not(target_arch = "x86_64"))]
        let _unreachable = (md5, sha1, sha256, blocks);
    }
}

#[cfg(test)]
mod tests {
    use super::Together;

    const MD5_START: [u32; 4] = [0x6745_2301, 0xefcd_ab89, 0x98ba_dcfe, 0x1032_5476];
    const SHA1_START: [u32; 5] = [0x6745_2301, 0xefcd_ab89, 0x98ba_dcfe, 0x1032_5476, 0xc3d2_e1f0];
    const SHA256_START: [u32; 8] = [
        0x6a09_e667,
        0xbb67_ae85,
        0x3c6e_f372,
        0xa54f_f53a,
        0x510e_527f,
        0x9b05_688c,
        0x1f83_d9ab,
        0x5be0_cd19,
    ];

    /// Vouched for by RFC 1321 appendix A.5 and FIPS 180-4: the digests of "abc", in one block with its padding. The two
    /// paddings differ in where the length stands, so each digest has its own block. The crates judge the rest in
    /// `hashing`.
    #[test]
    fn published_answers_hold() {
        let Some(together) = Together::detect() else {
            eprintln!("skipped: no SHA instructions");
            return;
        };
        let mut block = [0; 64];
        block[..4].copy_from_slice(b"abc\x80");
        let (mut little, mut big) = (block, block);
        little[56] = 24;
        big[63] = 24;
        let (mut md5, mut unused) = (MD5_START, SHA256_START);
        together.compress(&mut md5, &mut unused, &[little]);
        assert_eq!(md5.map(u32::swap_bytes), [0x9001_5098, 0x3cd2_4fb0, 0xd696_3f7d, 0x28e1_7f72]);
        let (mut unused, mut sha256) = (MD5_START, SHA256_START);
        together.compress(&mut unused, &mut sha256, &[big]);
        assert_eq!(sha256[..2], [0xba78_16bf, 0x8f01_cfea]);
        assert_eq!(sha256[7], 0xf200_15ad);
    }

    /// The same for the three together, and SHA-1 by FIPS 180-4's own example.
    #[test]
    fn published_answers_hold_for_three() {
        let Some(together) = Together::detect() else {
            eprintln!("skipped: no SHA instructions");
            return;
        };
        let mut block = [0; 64];
        block[..4].copy_from_slice(b"abc\x80");
        let (mut little, mut big) = (block, block);
        little[56] = 24;
        big[63] = 24;
        let (mut md5, mut sha1, mut sha256) = (MD5_START, SHA1_START, SHA256_START);
        together.compress_three(&mut md5, &mut sha1, &mut sha256, &[big]);
        assert_eq!(sha1, [0xa999_3e36, 0x4706_816a, 0xba3e_2571, 0x7850_c26c, 0x9cd0_d89d]);
        assert_eq!(sha256[..2], [0xba78_16bf, 0x8f01_cfea]);
        let (mut md5, mut sha1, mut sha256) = (MD5_START, SHA1_START, SHA256_START);
        together.compress_three(&mut md5, &mut sha1, &mut sha256, &[little]);
        assert_eq!(md5.map(u32::swap_bytes), [0x9001_5098, 0x3cd2_4fb0, 0xd696_3f7d, 0x28e1_7f72]);
    }

    #[test]
    fn no_blocks_change_nothing() {
        let Some(together) = Together::detect() else { return };
        let (mut md5, mut sha256) = (MD5_START, SHA256_START);
        together.compress(&mut md5, &mut sha256, &[]);
        assert_eq!((md5, sha256), (MD5_START, SHA256_START));
    }
}
