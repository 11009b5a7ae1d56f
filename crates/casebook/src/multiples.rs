//! Checking many signatures of one key: the answer of the strict check, in a fraction of its time.
//!
//! A signature (R, s) of M by the key A holds when R is the encoding of s·B − k·A, where B is the
//! base point and k = SHA-512(R ‖ A ‖ M) mod l (RFC 8032, 5.1.7, in the form without cofactor), s is
//! below l, and neither R nor A is of small order. In a case A is the same for every act, as B is. So
//! the multiples of both are computed once, and each product is then 20 additions without doubling.
//!
//! **Why not a batch equation:** a random sum over many signatures is faster still, but it accepts
//! what the strict check refuses, when the errors of two signatures are of small order and cancel
//! out; the holder of the key could make a case that holds here and nowhere else. What is computed
//! here is the very point the strict check computes, compared byte for byte, so both accept the
//! same signatures; what is not accepted here is put before the strict check, which names the fault.

use std::ops::{Add as _, Neg as _, Sub as _};

use curve25519_dalek::constants::ED25519_BASEPOINT_POINT;
use curve25519_dalek::edwards::EdwardsPoint;
use curve25519_dalek::scalar::Scalar;
use curve25519_dalek::traits::Identity as _;
use ed25519_dalek::{Signature, VerifyingKey};
use sha2::{Digest as _, Sha512};

/// Multiples of a point for every digit of a scalar: 8192^place · value · P for the values 1 to 4096. A digit above
/// 4096 is taken as what it lacks to 8192, which is subtracted, and one more in the next place: half the table. Wider
/// digits would save few more additions, and the table (13 MiB) has to stay in the processor's last cache.
struct Table(Vec<EdwardsPoint>);

const DIGIT_BITS: usize = 13;
/// A scalar is below 2^253; 20 digits have 260 bits, so nothing is carried out of the last place.
const PLACES: usize = 20;
const VALUES: usize = 4096;
const HALF: u32 = 4096;
const WHOLE: u32 = 8192;

impl Table {
    fn new(point: EdwardsPoint) -> Self {
        let mut all = Vec::with_capacity(PLACES.saturating_mul(VALUES));
        let mut unit = point;
        for _ in 0..PLACES {
            let mut multiple = unit;
            for _ in 1..VALUES {
                all.push(multiple);
                multiple = multiple.add(unit);
            }
            all.push(multiple);
            unit = multiple.add(multiple);
        }
        Self(all)
    }

    /// `sum` and this point times `scalar`. Not in constant time: all of it is public.
    fn add_product(&self, sum: EdwardsPoint, scalar: &Scalar) -> EdwardsPoint {
        let (mut sum, mut carry) = (sum, 0_u32);
        for (multiples, digit) in self.0.chunks(VALUES).zip(digits(scalar.as_bytes())) {
            let value = digit.saturating_add(carry);
            carry = u32::from(value > HALF);
            let size = if carry == 1 { WHOLE.saturating_sub(value) } else { value };
            let size = usize::try_from(size).unwrap_or(0);
            let multiple = size.checked_sub(1).and_then(|at| multiples.get(at));
            if let Some(multiple) = multiple {
                sum = if carry == 1 { sum.sub(multiple) } else { sum.add(multiple) };
            }
        }
        sum
    }
}

/// The digits of a number, the lowest first; it is written the lowest byte first.
fn digits(bytes: &[u8; 32]) -> impl Iterator<Item = u32> {
    (0..PLACES).map(|place| {
        let bit = place.saturating_mul(DIGIT_BITS);
        let (byte, shift) = (bit >> 3, bit & 7);
        let at = |more: usize| {
            let byte = bytes.get(byte.saturating_add(more)).copied().unwrap_or(0);
            u32::from(byte)
        };
        ((at(0) | at(1) << 8 | at(2) << 16) >> shift) & (WHOLE - 1)
    })
}

/// The multiples of the base point and of one key.
pub(crate) struct Multiples {
    key: VerifyingKey,
    base: Table,
    /// Of the key's negative.
    minus_key: Table,
}

impl Multiples {
    /// Computes them; `None` for a key that the strict check refuses whatever is signed.
    pub(crate) fn new(key: VerifyingKey) -> Option<Self> {
        let point = key.to_edwards();
        (!point.is_small_order()).then(|| Self {
            key,
            base: Table::new(ED25519_BASEPOINT_POINT),
            minus_key: Table::new(point.neg()),
        })
    }

    /// Whether both signatures hold. Two, because an act has two and one inversion serves both.
    pub(crate) fn accept(&self, messages: [&[u8]; 2], signatures: [&Signature; 2]) -> bool {
        let [first, second] = signatures;
        let [first_message, second_message] = messages;
        let (Some(one), Some(two)) =
            (self.expected(first_message, first), self.expected(second_message, second))
        else {
            return false;
        };
        let [one_bytes, two_bytes] = EdwardsPoint::compress_batch(&[one, two]);
        // Where the encodings are equal, R is this point: its order need not be asked of R itself.
        one_bytes.as_bytes() == first.r_bytes()
            && two_bytes.as_bytes() == second.r_bytes()
            && !one.is_small_order()
            && !two.is_small_order()
    }

    /// What R has to be; `None` when s is not below l.
    fn expected(&self, message: &[u8], signature: &Signature) -> Option<EdwardsPoint> {
        let s: Option<Scalar> = Scalar::from_canonical_bytes(*signature.s_bytes()).into();
        let digest = Sha512::new()
            .chain_update(signature.r_bytes())
            .chain_update(self.key.as_bytes())
            .chain_update(message)
            .finalize();
        let k = Scalar::from_bytes_mod_order_wide(&digest.into());
        let sum = self.base.add_product(EdwardsPoint::identity(), &s?);
        Some(self.minus_key.add_product(sum, &k))
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use curve25519_dalek::edwards::CompressedEdwardsY;
    use ed25519_dalek::{Signer as _, SigningKey};

    /// A point of order eight, for signatures that only some programs accept.
    fn torsion() -> EdwardsPoint {
        curve25519_dalek::constants::EIGHT_TORSION[1]
    }

    fn both(multiples: &Multiples, message: &[u8], signature: &Signature) -> (bool, bool) {
        let good = SigningKey::from_bytes(&[9; 32]).sign(b"good");
        let quick = multiples.accept([message, b"good"], [signature, &good]);
        // In either place the answer is the same.
        assert_eq!(quick, multiples.accept([b"good", message], [&good, signature]));
        (quick, multiples.key.verify_strict(message, signature).is_ok())
    }

    /// An independent path: the library's own strict check.
    #[test]
    fn the_strict_check_agrees() {
        let secret = SigningKey::from_bytes(&[9; 32]);
        let multiples = Multiples::new(secret.verifying_key()).unwrap();
        let mut accepted = 0;
        for number in 0_u16..600 {
            let message = vec![7; usize::from(number)];
            let mut bytes = secret.sign(&message).to_bytes();
            if number >= 64 {
                bytes[usize::from(number) % 64] ^= 1 << (number % 8);
            }
            let (quick, strict) = both(&multiples, &message, &Signature::from_bytes(&bytes));
            assert_eq!(quick, strict, "{number}");
            accepted += u32::from(quick);
        }
        assert_eq!(accepted, 64);
    }

    /// What equations with cofactor, batches and lax encodings let through, and the strict check does
    /// not: R or A off by a point of small order, R of small order, s not below l, R not canonical.
    #[test]
    fn what_the_strict_check_refuses_is_refused() {
        let secret = SigningKey::from_bytes(&[9; 32]);
        let key = secret.verifying_key();
        let multiples = Multiples::new(key).unwrap();
        let good = secret.sign(b"good");
        assert_eq!(both(&multiples, b"good", &good), (true, true));
        let refused = |r: [u8; 32], s: [u8; 32], what: &str| {
            let signature = Signature::from_components(r, s);
            assert_eq!(both(&multiples, b"good", &signature), (false, false), "{what}");
        };
        let r = CompressedEdwardsY(*good.r_bytes()).decompress().unwrap();
        refused((r + torsion()).compress().0, *good.s_bytes(), "R of mixed order");
        // s + l stands for the same number.
        let (mut more, mut carry) = (*good.s_bytes(), 0_u16);
        let l = hex("edd3f55c1a631258d69cf7a2def9de1400000000000000000000000000000010");
        for (byte, add) in more.iter_mut().zip(l) {
            let sum = u16::from(*byte) + u16::from(add) + carry;
            (*byte, carry) = ((sum & 0xff) as u8, sum >> 8);
        }
        refused(*good.r_bytes(), more, "s not below l");
        let mut identity = [0; 32];
        identity[0] = 1;
        refused(identity, [0; 32], "R of small order");
        let mut second_identity = [0xff; 32];
        (second_identity[0], second_identity[31]) = (0xee, 0x7f);
        refused(second_identity, [0; 32], "R not canonical");
        // A signature whose R was made off by a point of small order and hashed as such: the equation
        // with cofactor holds, the one without does not.
        let nonce = Scalar::from(77_u64);
        let expanded = secret.to_scalar();
        let off = (ED25519_BASEPOINT_POINT * nonce + torsion()).compress();
        let digest = Sha512::new()
            .chain_update(off.0)
            .chain_update(key.as_bytes())
            .chain_update(b"good")
            .finalize();
        let k = Scalar::from_bytes_mod_order_wide(&digest.into());
        refused(off.0, (nonce + k * expanded).to_bytes(), "R made off");
    }

    #[test]
    fn a_key_of_mixed_order_gets_the_same_answer() {
        let secret = SigningKey::from_bytes(&[9; 32]);
        let mixed = secret.verifying_key().to_edwards() + torsion();
        let key = VerifyingKey::from_bytes(&mixed.compress().0).unwrap();
        let multiples = Multiples::new(key).unwrap();
        let mut accepted = 0;
        for number in 0_u64..64 {
            let nonce = Scalar::from(number + 1);
            let r = (ED25519_BASEPOINT_POINT * nonce).compress();
            let digest = Sha512::new().chain_update(r.0).chain_update(key.as_bytes()).finalize();
            let k = Scalar::from_bytes_mod_order_wide(&digest.into());
            let s = nonce + k * secret.to_scalar();
            let signature = Signature::from_components(r.0, s.to_bytes());
            let strict = key.verify_strict(b"", &signature).is_ok();
            assert_eq!(multiples.accept([b"", b""], [&signature, &signature]), strict);
            accepted += u32::from(strict);
        }
        // One k in eight takes the small part of the key away.
        assert!((1..32).contains(&accepted), "{accepted}");
        let small = VerifyingKey::from_bytes(&torsion().compress().0).unwrap();
        assert!(Multiples::new(small).is_none());
    }

    /// An independent path: the library's own product, at the borders of the digits too.
    #[test]
    fn products_are_the_librarys() {
        let table = Table::new(ED25519_BASEPOINT_POINT);
        let mut scalars: Vec<Scalar> = (0_u64..300).map(Scalar::from).collect();
        for byte in [0, 1, 15, 16, 127, 128, 129, 254, 255] {
            let mut bytes = [byte; 32];
            bytes[31] = 0x0f;
            scalars.push(Scalar::from_canonical_bytes(bytes).unwrap());
            scalars.push(-Scalar::from(u64::from(byte)));
            scalars.push(Scalar::from_bytes_mod_order([byte; 32]));
        }
        // Digits at the border of what is subtracted, in every place.
        let mut place = Scalar::ONE;
        for _ in 0..PLACES {
            for digit in [1, 4095, 4096, 4097, 8191_u64] {
                scalars.push(place * Scalar::from(digit));
            }
            place *= Scalar::from(8192_u64);
        }
        for scalar in scalars {
            let product = table.add_product(EdwardsPoint::identity(), &scalar);
            assert_eq!(product, ED25519_BASEPOINT_POINT * scalar, "{scalar:?}");
        }
    }

    fn hex(text: &str) -> Vec<u8> {
        (0..text.len())
            .step_by(2)
            .map(|at| u8::from_str_radix(&text[at..at + 2], 16).unwrap())
            .collect()
    }
}
