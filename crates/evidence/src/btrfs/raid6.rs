//! Elements that are missing, computed from the others of their row and its parity.
//!
//! P is the sum of the data, Q the sum of the data times powers of 2, in the field of 256 elements that H. P. Anvin's "The
//! mathematics of RAID-6" describes (polynomial 0x11d).

/// The row as far as it could be read: data in order, then P, then Q where there is one.
pub(super) struct Elements<'a> {
    pub(super) all: &'a [Option<Vec<u8>>],
    pub(super) parities: usize,
}

impl Elements<'_> {
    /// The data element `target`; `None` when too many others are missing.
    pub(super) fn rebuild(&self, target: usize) -> Option<Vec<u8>> {
        let data = self.all.get(..self.all.len().checked_sub(self.parities)?)?;
        let parity = |number: usize| self.all.get(data.len().checked_add(number)?)?.as_deref();
        let missing: Vec<usize> = data
            .iter()
            .enumerate()
            .filter(|(index, element)| *index != target && element.is_none())
            .map(|(index, _)| index)
            .collect();
        let others = || data.iter().enumerate().filter(|(index, _)| *index != target);
        match (missing.as_slice(), parity(0), parity(1)) {
            ([], Some(p), _) => {
                let mut out = p.to_vec();
                others().for_each(|(_, element)| add(&mut out, element.as_deref(), 1));
                Some(out)
            }
            ([], None, Some(q)) => {
                let mut out = q.to_vec();
                others().for_each(|(index, element)| {
                    add(&mut out, element.as_deref(), power(index));
                });
                scale(&mut out, inverse(power(target)));
                Some(out)
            }
            ([other], Some(p), Some(q)) => {
                let (mut sum, mut weighted) = (p.to_vec(), q.to_vec());
                for (index, element) in others() {
                    add(&mut sum, element.as_deref(), 1);
                    add(&mut weighted, element.as_deref(), power(index));
                }
                add(&mut weighted, Some(&sum), power(*other));
                scale(&mut weighted, inverse(power(target) ^ power(*other)));
                Some(weighted)
            }
            _ => None,
        }
    }
}

/// Adds `factor` times `element` to `out`; a missing element adds nothing.
fn add(out: &mut [u8], element: Option<&[u8]>, factor: u8) {
    let products = products(factor);
    for (to, from) in out.iter_mut().zip(element.unwrap_or(&[])) {
        *to ^= products.get(usize::from(*from)).copied().unwrap_or(0);
    }
}

fn scale(out: &mut [u8], factor: u8) {
    let products = products(factor);
    for byte in out {
        *byte = products.get(usize::from(*byte)).copied().unwrap_or(0);
    }
}

/// The products of `factor` with every element of the field.
fn products(factor: u8) -> Vec<u8> {
    (0..=u8::MAX).map(|other| multiply(factor, other)).collect()
}

fn multiply(mut a: u8, mut b: u8) -> u8 {
    let mut out = 0;
    while b != 0 {
        if b & 1 != 0 {
            out ^= a;
        }
        a = (a << 1) ^ if a & 0x80 != 0 { 0x1d } else { 0 };
        b >>= 1;
    }
    out
}

/// 2 to the power of `exponent`.
fn power(exponent: usize) -> u8 {
    // The powers of 2 repeat after 255.
    (0..exponent.checked_rem(255).unwrap_or(0)).fold(1, |value, _| multiply(value, 2))
}

/// One divided by `value`: its 254th power.
fn inverse(value: u8) -> u8 {
    (0..254).fold(1, |product, _| multiply(product, value))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn any_two_may_be_missing() {
        let data: Vec<Vec<u8>> = (0..5_u8).map(|n| vec![n * 37 + 1, 255 - n, n ^ 0x5a]).collect();
        let (mut p, mut q) = (vec![0; 3], vec![0; 3]);
        for (index, element) in data.iter().enumerate() {
            add(&mut p, Some(element), 1);
            add(&mut q, Some(element), power(index));
        }
        let whole: Vec<Vec<u8>> = data.iter().chain([&p, &q]).cloned().collect();
        for first in 0..5 {
            for second in 0..7 {
                let mut all: Vec<_> = whole.iter().cloned().map(Some).collect();
                (all[first], all[second]) = (None, None);
                let elements = Elements { all: &all, parities: 2 };
                assert_eq!(elements.rebuild(first).unwrap(), data[first], "{first} {second}");
            }
        }
        let mut all: Vec<_> = whole.into_iter().map(Some).collect();
        (all[0], all[1], all[6]) = (None, None, None);
        assert!(Elements { all: &all, parities: 2 }.rebuild(0).is_none());
    }
}
