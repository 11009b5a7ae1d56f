//! MD5 and SHA-256 of the same blocks in one loop, with the processor's SHA instructions.
//!
//! MD5 is one long chain of dependent additions, SHA-256 uses units that MD5 leaves idle. Four steps of the one between
//! four rounds of the other let both run in the time of MD5 alone, which no crate offers. Only whole blocks are taken:
//! padding and lengths are the caller's. RFC 1321 section 3.4; FIPS 180-4 section 6.2.2.

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
}

#[cfg(target_arch = "x86_64")]
mod x86 {
    use core::arch::asm;
    use core::arch::x86_64::{
        __m128i, _mm_add_epi32, _mm_extract_epi32, _mm_loadu_si128, _mm_set_epi8, _mm_set_epi32,
        _mm_shuffle_epi8,
    };

    use super::{MD5_SHIFTS, MD5_SINES, SHA256_ROOTS};

    /// One step of MD5 without its mixing: word and constant are added while the chain is elsewhere.
    macro_rules! step {
        ($mix:ident $a:literal $b:literal $c:literal $d:literal $at:literal) => {
            concat!(
                "add {", $a, ":e}, dword ptr [{m} + {word", $at, "}]\n",
                "add {", $a, ":e}, {sine", $at, "}\n",
                $mix!($a $b $c $d),
                "rol {", $a, ":e}, {turn", $at, "}\n",
                "add {", $a, ":e}, {", $b, ":e}\n",
            )
        };
    }

    /// F: z ^ (x & (y ^ z)).
    macro_rules! choose {
        ($a:literal $b:literal $c:literal $d:literal) => {
            concat!(
                "mov {t:e}, {",
                $c,
                ":e}\n xor {t:e}, {",
                $d,
                ":e}\n",
                "and {t:e}, {",
                $b,
                ":e}\n xor {t:e}, {",
                $d,
                ":e}\n",
                "add {",
                $a,
                ":e}, {t:e}\n",
            )
        };
    }

    /// G: (x & z) + (y & !z); the parts share no bit, and the sum makes the chain through x shorter than an or.
    macro_rules! choose_by_last {
        ($a:literal $b:literal $c:literal $d:literal) => {
            concat!(
                "mov {t:e}, {",
                $d,
                ":e}\n not {t:e}\n and {t:e}, {",
                $c,
                ":e}\n",
                "add {",
                $a,
                ":e}, {t:e}\n",
                "mov {t:e}, {",
                $d,
                ":e}\n and {t:e}, {",
                $b,
                ":e}\n",
                "add {",
                $a,
                ":e}, {t:e}\n",
            )
        };
    }

    /// H: x ^ y ^ z.
    macro_rules! parity {
        ($a:literal $b:literal $c:literal $d:literal) => {
            concat!(
                "mov {t:e}, {",
                $c,
                ":e}\n xor {t:e}, {",
                $d,
                ":e}\n",
                "xor {t:e}, {",
                $b,
                ":e}\n add {",
                $a,
                ":e}, {t:e}\n",
            )
        };
    }

    /// I: y ^ (x | !z).
    macro_rules! or_not {
        ($a:literal $b:literal $c:literal $d:literal) => {
            concat!(
                "mov {t:e}, {",
                $d,
                ":e}\n not {t:e}\n or {t:e}, {",
                $b,
                ":e}\n",
                "xor {t:e}, {",
                $c,
                ":e}\n add {",
                $a,
                ":e}, {t:e}\n",
            )
        };
    }

    /// The first half of what makes the message words needed four groups later.
    macro_rules! extend_first {
        () => {
            "sha256msg1 {w0}, {w1}\n movdqa {v}, {w3}\n palignr {v}, {w2}, 4\n paddd {w0}, {v}\n"
        };
    }

    /// The second half.
    macro_rules! extend_second {
        () => {
            "sha256msg2 {w0}, {w3}\n"
        };
    }

    /// The last four groups need no later words; the assembler wants every operand named.
    macro_rules! no_first {
        () => {
            "# {w1} {w2} {w3} {v}\n"
        };
    }

    /// As the first.
    macro_rules! no_second {
        () => {
            ""
        };
    }

    /// Four steps of MD5 and four rounds of SHA-256. Written as one piece because the compiler, left to order the
    /// instructions itself, puts those of each digest together and the constants onto the chain.
    macro_rules! four {
        ($s:ident, $mix:ident, $group:literal, [$w0:ident $w1:ident $w2:ident $w3:ident],
         $first:ident, $second:ident) => {
            // SAFETY: reads 64 bytes at `m` and 16 of the 256 aligned bytes at `k`, which both live as long as this
            // call, writes nothing but its outputs, and every instruction is one that this function is compiled for.
            unsafe {
                asm!(
                    concat!(
                        "movdqa xmm0, {w0}\n paddd xmm0, xmmword ptr [{k} + {roots}]\n",
                        step!($mix "a" "b" "c" "d" "0"),
                        "sha256rnds2 {cdgh}, {abef}\n",
                        $first!(),
                        step!($mix "d" "a" "b" "c" "1"),
                        "pshufd xmm0, xmm0, 14\n",
                        $second!(),
                        step!($mix "c" "d" "a" "b" "2"),
                        "sha256rnds2 {abef}, {cdgh}\n",
                        step!($mix "b" "c" "d" "a" "3"),
                    ),
                    a = inout(reg) $s.a,
                    b = inout(reg) $s.b,
                    c = inout(reg) $s.c,
                    d = inout(reg) $s.d,
                    t = out(reg) _,
                    m = in(reg) $s.message,
                    k = in(reg) $s.roots,
                    abef = inout(xmm_reg) $s.abef,
                    cdgh = inout(xmm_reg) $s.cdgh,
                    w0 = inout(xmm_reg) $s.$w0,
                    w1 = in(xmm_reg) $s.$w1,
                    w2 = in(xmm_reg) $s.$w2,
                    w3 = in(xmm_reg) $s.$w3,
                    v = out(xmm_reg) _,
                    out("xmm0") _,
                    roots = const $group * 16,
                    word0 = const word_offset($group * 4),
                    word1 = const word_offset($group * 4 + 1),
                    word2 = const word_offset($group * 4 + 2),
                    word3 = const word_offset($group * 4 + 3),
                    sine0 = const MD5_SINES[$group * 4].cast_signed(),
                    sine1 = const MD5_SINES[$group * 4 + 1].cast_signed(),
                    sine2 = const MD5_SINES[$group * 4 + 2].cast_signed(),
                    sine3 = const MD5_SINES[$group * 4 + 3].cast_signed(),
                    turn0 = const MD5_SHIFTS[$group / 4][0],
                    turn1 = const MD5_SHIFTS[$group / 4][1],
                    turn2 = const MD5_SHIFTS[$group / 4][2],
                    turn3 = const MD5_SHIFTS[$group / 4][3],
                    options(pure, readonly, nostack),
                );
            }
        };
    }

    /// What one block is worked on with.
    struct Work {
        a: u32,
        b: u32,
        c: u32,
        d: u32,
        abef: __m128i,
        cdgh: __m128i,
        w0: __m128i,
        w1: __m128i,
        w2: __m128i,
        w3: __m128i,
        message: *const u8,
        roots: *const u32,
    }

    /// `paddd` wants its operand in memory on a multiple of 16.
    #[repr(align(16))]
    struct Aligned([u32; 64]);

    static ROOTS: Aligned = Aligned(SHA256_ROOTS);

    #[target_feature(enable = "sha,sse2,ssse3,sse4.1")]
    pub(super) fn compress(md5: &mut [u32; 4], sha256: &mut [u32; 8], blocks: &[[u8; 64]]) {
        for block in blocks {
            one(md5, sha256, block);
        }
    }

    #[inline]
    #[target_feature(enable = "sha,sse2,ssse3,sse4.1")]
    fn one(md5: &mut [u32; 4], sha256: &mut [u32; 8], block: &[u8; 64]) {
        let [a, b, c, d] = *md5;
        let [s0, s1, s2, s3, s4, s5, s6, s7] = sha256.map(u32::cast_signed);
        // The instructions want the state as two halves in this order.
        let abef = _mm_set_epi32(s0, s1, s4, s5);
        let cdgh = _mm_set_epi32(s2, s3, s6, s7);
        let (quarters, _none) = block.as_chunks::<16>();
        let mut s = Work {
            a,
            b,
            c,
            d,
            abef,
            cdgh,
            w0: big_endian(&quarters[0]),
            w1: big_endian(&quarters[1]),
            w2: big_endian(&quarters[2]),
            w3: big_endian(&quarters[3]),
            message: block.as_ptr(),
            roots: ROOTS.0.as_ptr(),
        };
        four!(s, choose, 0, [w0 w1 w2 w3], extend_first, extend_second);
        four!(s, choose, 1, [w1 w2 w3 w0], extend_first, extend_second);
        four!(s, choose, 2, [w2 w3 w0 w1], extend_first, extend_second);
        four!(s, choose, 3, [w3 w0 w1 w2], extend_first, extend_second);
        four!(s, choose_by_last, 4, [w0 w1 w2 w3], extend_first, extend_second);
        four!(s, choose_by_last, 5, [w1 w2 w3 w0], extend_first, extend_second);
        four!(s, choose_by_last, 6, [w2 w3 w0 w1], extend_first, extend_second);
        four!(s, choose_by_last, 7, [w3 w0 w1 w2], extend_first, extend_second);
        four!(s, parity, 8, [w0 w1 w2 w3], extend_first, extend_second);
        four!(s, parity, 9, [w1 w2 w3 w0], extend_first, extend_second);
        four!(s, parity, 10, [w2 w3 w0 w1], extend_first, extend_second);
        four!(s, parity, 11, [w3 w0 w1 w2], extend_first, extend_second);
        four!(s, or_not, 12, [w0 w1 w2 w3], no_first, no_second);
        four!(s, or_not, 13, [w1 w2 w3 w0], no_first, no_second);
        four!(s, or_not, 14, [w2 w3 w0 w1], no_first, no_second);
        four!(s, or_not, 15, [w3 w0 w1 w2], no_first, no_second);
        *md5 = [a.wrapping_add(s.a), b.wrapping_add(s.b), c.wrapping_add(s.c), d.wrapping_add(s.d)];
        let (abef, cdgh) = (_mm_add_epi32(abef, s.abef), _mm_add_epi32(cdgh, s.cdgh));
        *sha256 = [
            _mm_extract_epi32::<3>(abef),
            _mm_extract_epi32::<2>(abef),
            _mm_extract_epi32::<3>(cdgh),
            _mm_extract_epi32::<2>(cdgh),
            _mm_extract_epi32::<1>(abef),
            _mm_extract_epi32::<0>(abef),
            _mm_extract_epi32::<1>(cdgh),
            _mm_extract_epi32::<0>(cdgh),
        ]
        .map(i32::cast_unsigned);
    }

    /// Where the message word of an MD5 step stands in the block.
    const fn word_offset(step: usize) -> usize {
        let word = match step / 16 {
            0 => step,
            1 => 5 * step + 1,
            2 => 3 * step + 5,
            _ => 7 * step,
        };
        word % 16 * 4
    }

    #[inline]
    #[target_feature(enable = "sse2,ssse3")]
    fn big_endian(quarter: &[u8; 16]) -> __m128i {
        // SAFETY: the 16 bytes are there to be read; the instruction asks for no alignment.
        let words = unsafe { _mm_loadu_si128(quarter.as_ptr().cast()) };
        let swap = _mm_set_epi8(12, 13, 14, 15, 8, 9, 10, 11, 4, 5, 6, 7, 0, 1, 2, 3);
        _mm_shuffle_epi8(words, swap)
    }
}

/// RFC 1321 section 3.4: how far each of the four rounds rotates.
const MD5_SHIFTS: [[u32; 4]; 4] =
    [[7, 12, 17, 22], [5, 9, 14, 20], [4, 11, 16, 23], [6, 10, 15, 21]];

/// RFC 1321 section 3.4: 2³² times the absolute sine of 1 to 64.
#[rustfmt::skip]
const MD5_SINES: [u32; 64] = [
    0xd76a_a478, 0xe8c7_b756, 0x2420_70db, 0xc1bd_ceee, 0xf57c_0faf, 0x4787_c62a,
    0xa830_4613, 0xfd46_9501, 0x6980_98d8, 0x8b44_f7af, 0xffff_5bb1, 0x895c_d7be,
    0x6b90_1122, 0xfd98_7193, 0xa679_438e, 0x49b4_0821, 0xf61e_2562, 0xc040_b340,
    0x265e_5a51, 0xe9b6_c7aa, 0xd62f_105d, 0x0244_1453, 0xd8a1_e681, 0xe7d3_fbc8,
    0x21e1_cde6, 0xc337_07d6, 0xf4d5_0d87, 0x455a_14ed, 0xa9e3_e905, 0xfcef_a3f8,
    0x676f_02d9, 0x8d2a_4c8a, 0xfffa_3942, 0x8771_f681, 0x6d9d_6122, 0xfde5_380c,
    0xa4be_ea44, 0x4bde_cfa9, 0xf6bb_4b60, 0xbebf_bc70, 0x289b_7ec6, 0xeaa1_27fa,
    0xd4ef_3085, 0x0488_1d05, 0xd9d4_d039, 0xe6db_99e5, 0x1fa2_7cf8, 0xc4ac_5665,
    0xf429_2244, 0x432a_ff97, 0xab94_23a7, 0xfc93_a039, 0x655b_59c3, 0x8f0c_cc92,
    0xffef_f47d, 0x8584_5dd1, 0x6fa8_7e4f, 0xfe2c_e6e0, 0xa301_4314, 0x4e08_11a1,
    0xf753_7e82, 0xbd3a_f235, 0x2ad7_d2bb, 0xeb86_d391,
];

/// FIPS 180-4 section 4.2.2: fractions of the cube roots of the first 64 primes.
#[rustfmt::skip]
const SHA256_ROOTS: [u32; 64] = [
    0x428a_2f98, 0x7137_4491, 0xb5c0_fbcf, 0xe9b5_dba5, 0x3956_c25b, 0x59f1_11f1,
    0x923f_82a4, 0xab1c_5ed5, 0xd807_aa98, 0x1283_5b01, 0x2431_85be, 0x550c_7dc3,
    0x72be_5d74, 0x80de_b1fe, 0x9bdc_06a7, 0xc19b_f174, 0xe49b_69c1, 0xefbe_4786,
    0x0fc1_9dc6, 0x240c_a1cc, 0x2de9_2c6f, 0x4a74_84aa, 0x5cb0_a9dc, 0x76f9_88da,
    0x983e_5152, 0xa831_c66d, 0xb003_27c8, 0xbf59_7fc7, 0xc6e0_0bf3, 0xd5a7_9147,
    0x06ca_6351, 0x1429_2967, 0x27b7_0a85, 0x2e1b_2138, 0x4d2c_6dfc, 0x5338_0d13,
    0x650a_7354, 0x766a_0abb, 0x81c2_c92e, 0x9272_2c85, 0xa2bf_e8a1, 0xa81a_664b,
    0xc24b_8b70, 0xc76c_51a3, 0xd192_e819, 0xd699_0624, 0xf40e_3585, 0x106a_a070,
    0x19a4_c116, 0x1e37_6c08, 0x2748_774c, 0x34b0_bcb5, 0x391c_0cb3, 0x4ed8_aa4a,
    0x5b9c_ca4f, 0x682e_6ff3, 0x748f_82ee, 0x78a5_636f, 0x84c8_7814, 0x8cc7_0208,
    0x90be_fffa, 0xa450_6ceb, 0xbef9_a3f7, 0xc671_78f2,
];

#[cfg(test)]
mod tests {
    use super::Together;

    const MD5_START: [u32; 4] = [0x6745_2301, 0xefcd_ab89, 0x98ba_dcfe, 0x1032_5476];
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

    #[test]
    fn no_blocks_change_nothing() {
        let Some(together) = Together::detect() else { return };
        let (mut md5, mut sha256) = (MD5_START, SHA256_START);
        together.compress(&mut md5, &mut sha256, &[]);
        assert_eq!((md5, sha256), (MD5_START, SHA256_START));
    }
}
