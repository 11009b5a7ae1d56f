//! The loops themselves. Each piece of assembly is volatile, so that the pieces stay in the order they are written in.

use core::arch::asm;
use core::arch::x86_64::{
    __m128i, _mm_add_epi32, _mm_extract_epi32, _mm_loadu_si128, _mm_set_epi8, _mm_set_epi32,
    _mm_shuffle_epi8,
};

use super::tables::{MD5_SHIFTS, MD5_SINES, SHA256_ROOTS};

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
                options(readonly, nostack),
            );
        }
    };
}

mod three;

pub(super) use three::compress as compress_three;

/// What one block is worked on with.
#[derive(Clone, Copy)]
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

impl Work {
    /// Ready for the block, and the same once more: what the block adds to.
    #[inline]
    #[target_feature(enable = "sha,sse2,ssse3,sse4.1")]
    fn begin(md5: &[u32; 4], sha256: &[u32; 8], block: &[u8; 64]) -> (Self, Self) {
        let [a, b, c, d] = *md5;
        let [s0, s1, s2, s3, s4, s5, s6, s7] = sha256.map(u32::cast_signed);
        let (quarters, _none) = block.as_chunks::<16>();
        let work = Self {
            a,
            b,
            c,
            d,
            // The instructions want the state as two halves in this order.
            abef: _mm_set_epi32(s0, s1, s4, s5),
            cdgh: _mm_set_epi32(s2, s3, s6, s7),
            w0: big_endian(&quarters[0]),
            w1: big_endian(&quarters[1]),
            w2: big_endian(&quarters[2]),
            w3: big_endian(&quarters[3]),
            message: block.as_ptr(),
            roots: ROOTS.0.as_ptr(),
        };
        (work, work)
    }

    /// Adds what the block gave to what was there before.
    #[inline]
    #[target_feature(enable = "sha,sse2,ssse3,sse4.1")]
    fn end(&self, begun: &Self, md5: &mut [u32; 4], sha256: &mut [u32; 8]) {
        *md5 = [
            begun.a.wrapping_add(self.a),
            begun.b.wrapping_add(self.b),
            begun.c.wrapping_add(self.c),
            begun.d.wrapping_add(self.d),
        ];
        let abef = _mm_add_epi32(begun.abef, self.abef);
        let cdgh = _mm_add_epi32(begun.cdgh, self.cdgh);
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
}

#[inline]
#[target_feature(enable = "sha,sse2,ssse3,sse4.1")]
fn one(md5: &mut [u32; 4], sha256: &mut [u32; 8], block: &[u8; 64]) {
    let (mut s, begun) = Work::begin(md5, sha256, block);
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
    s.end(&begun, md5, sha256);
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
