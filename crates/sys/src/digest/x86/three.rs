//! SHA-1 beside the other two: twenty groups of four rounds, put between the sixteen of MD5 and SHA-256.
//!
//! FIPS 180-4 section 6.1.2. Fifteen of the sixteen wide registers are in use, so nothing is moved to memory in between.

use core::arch::asm;
use core::arch::x86_64::{
    __m128i, _mm_add_epi32, _mm_extract_epi32, _mm_set_epi32, _mm_sha1nexte_epu32,
    _mm_shuffle_epi32,
};

use super::{Work, word_offset};
use crate::digest::tables::{MD5_SHIFTS, MD5_SINES};

/// What SHA-1 of one block is worked on with: `e` takes turns in two registers.
struct Rounds {
    abcd: __m128i,
    even: __m128i,
    odd: __m128i,
    m0: __m128i,
    m1: __m128i,
    m2: __m128i,
    m3: __m128i,
}

/// The first word of a group goes into `e`: by a plain sum in the first group, where no rotation is due.
macro_rules! first_word {
    () => {
        "paddd {e}, {m0}\n"
    };
}

/// As it is in all others.
macro_rules! next_word {
    () => {
        "sha1nexte {e}, {m0}\n"
    };
}

/// Steps of the message's extension; which of them are due depends on the group.
macro_rules! finish_next {
    () => {
        "sha1msg2 {m1}, {m0}\n"
    };
}

/// As the last.
macro_rules! begin_last {
    () => {
        "sha1msg1 {m3}, {m0}\n"
    };
}

/// As the last.
macro_rules! mix_second {
    () => {
        "pxor {m2}, {m0}\n"
    };
}

/// Nothing is due; the assembler wants every operand named.
macro_rules! nothing {
    () => {
        "# {m1} {m2} {m3}\n"
    };
}

/// Four rounds of SHA-1 by the function and constant of this number.
macro_rules! rounds {
    ($s:ident, $kind:literal, $word:ident, [$e:ident $next:ident],
     [$m0:ident $m1:ident $m2:ident $m3:ident], $($due:ident)+) => {
        // SAFETY: touches nothing but the registers named, with instructions that this function is compiled for.
        unsafe {
            asm!(
                concat!(
                    $word!(),
                    "movdqa {next}, {abcd}\n",
                    "sha1rnds4 {abcd}, {e}, ", $kind, "\n",
                    $($due!(),)+
                    nothing!(),
                ),
                abcd = inout(xmm_reg) $s.abcd,
                e = inout(xmm_reg) $s.$e,
                next = out(xmm_reg) $s.$next,
                m0 = in(xmm_reg) $s.$m0,
                m1 = inout(xmm_reg) $s.$m1,
                m2 = inout(xmm_reg) $s.$m2,
                m3 = inout(xmm_reg) $s.$m3,
                options(nomem, nostack),
            );
        }
    };
}

#[target_feature(enable = "sha,sse2,ssse3,sse4.1")]
pub(in crate::digest) fn compress(
    md5: &mut [u32; 4],
    sha1: &mut [u32; 5],
    sha256: &mut [u32; 8],
    blocks: &[[u8; 64]],
) {
    for block in blocks {
        one(md5, sha1, sha256, block);
    }
}

#[inline]
#[target_feature(enable = "sha,sse2,ssse3,sse4.1")]
fn one(md5: &mut [u32; 4], sha1: &mut [u32; 5], sha256: &mut [u32; 8], block: &[u8; 64]) {
    let (mut s, begun) = Work::begin(md5, sha256, block);
    let [a, b, c, d, e] = sha1.map(u32::cast_signed);
    let abcd = _mm_set_epi32(a, b, c, d);
    let first_e = _mm_set_epi32(e, 0, 0, 0);
    // The same words as SHA-256 has, the first in the highest place.
    let mut r = Rounds {
        abcd,
        even: first_e,
        odd: first_e,
        m0: _mm_shuffle_epi32::<0b00_01_10_11>(s.w0),
        m1: _mm_shuffle_epi32::<0b00_01_10_11>(s.w1),
        m2: _mm_shuffle_epi32::<0b00_01_10_11>(s.w2),
        m3: _mm_shuffle_epi32::<0b00_01_10_11>(s.w3),
    };
    four!(s, choose, 0, [w0 w1 w2 w3], extend_first, extend_second);
    rounds!(r, 0, first_word, [even odd], [m0 m1 m2 m3], nothing);
    four!(s, choose, 1, [w1 w2 w3 w0], extend_first, extend_second);
    rounds!(r, 0, next_word, [odd even], [m1 m2 m3 m0], begin_last);
    four!(s, choose, 2, [w2 w3 w0 w1], extend_first, extend_second);
    rounds!(r, 0, next_word, [even odd], [m2 m3 m0 m1], begin_last mix_second);
    four!(s, choose, 3, [w3 w0 w1 w2], extend_first, extend_second);
    rounds!(r, 0, next_word, [odd even], [m3 m0 m1 m2], finish_next begin_last mix_second);
    rounds!(r, 0, next_word, [even odd], [m0 m1 m2 m3], finish_next begin_last mix_second);
    four!(s, choose_by_last, 4, [w0 w1 w2 w3], extend_first, extend_second);
    rounds!(r, 1, next_word, [odd even], [m1 m2 m3 m0], finish_next begin_last mix_second);
    four!(s, choose_by_last, 5, [w1 w2 w3 w0], extend_first, extend_second);
    rounds!(r, 1, next_word, [even odd], [m2 m3 m0 m1], finish_next begin_last mix_second);
    four!(s, choose_by_last, 6, [w2 w3 w0 w1], extend_first, extend_second);
    rounds!(r, 1, next_word, [odd even], [m3 m0 m1 m2], finish_next begin_last mix_second);
    four!(s, choose_by_last, 7, [w3 w0 w1 w2], extend_first, extend_second);
    rounds!(r, 1, next_word, [even odd], [m0 m1 m2 m3], finish_next begin_last mix_second);
    rounds!(r, 1, next_word, [odd even], [m1 m2 m3 m0], finish_next begin_last mix_second);
    four!(s, parity, 8, [w0 w1 w2 w3], extend_first, extend_second);
    rounds!(r, 2, next_word, [even odd], [m2 m3 m0 m1], finish_next begin_last mix_second);
    four!(s, parity, 9, [w1 w2 w3 w0], extend_first, extend_second);
    rounds!(r, 2, next_word, [odd even], [m3 m0 m1 m2], finish_next begin_last mix_second);
    four!(s, parity, 10, [w2 w3 w0 w1], extend_first, extend_second);
    rounds!(r, 2, next_word, [even odd], [m0 m1 m2 m3], finish_next begin_last mix_second);
    four!(s, parity, 11, [w3 w0 w1 w2], extend_first, extend_second);
    rounds!(r, 2, next_word, [odd even], [m1 m2 m3 m0], finish_next begin_last mix_second);
    rounds!(r, 2, next_word, [even odd], [m2 m3 m0 m1], finish_next begin_last mix_second);
    four!(s, or_not, 12, [w0 w1 w2 w3], no_first, no_second);
    rounds!(r, 3, next_word, [odd even], [m3 m0 m1 m2], finish_next begin_last mix_second);
    four!(s, or_not, 13, [w1 w2 w3 w0], no_first, no_second);
    rounds!(r, 3, next_word, [even odd], [m0 m1 m2 m3], finish_next begin_last mix_second);
    four!(s, or_not, 14, [w2 w3 w0 w1], no_first, no_second);
    rounds!(r, 3, next_word, [odd even], [m1 m2 m3 m0], finish_next mix_second);
    four!(s, or_not, 15, [w3 w0 w1 w2], no_first, no_second);
    rounds!(r, 3, next_word, [even odd], [m2 m3 m0 m1], finish_next);
    rounds!(r, 3, next_word, [odd even], [m3 m0 m1 m2], nothing);
    s.end(&begun, md5, sha256);
    let last_e = _mm_sha1nexte_epu32(r.even, first_e);
    let abcd = _mm_add_epi32(abcd, r.abcd);
    *sha1 = [
        _mm_extract_epi32::<3>(abcd),
        _mm_extract_epi32::<2>(abcd),
        _mm_extract_epi32::<1>(abcd),
        _mm_extract_epi32::<0>(abcd),
        _mm_extract_epi32::<3>(last_e),
    ]
    .map(i32::cast_unsigned);
}
