//! Arithmetic of GF(2^8) with the polynomial 0x11d, as RAID 6 uses it (H. P. Anvin, "The mathematics of RAID-6").

/// The product.
pub(super) fn times(a: u8, b: u8) -> u8 {
    let (mut a, mut b, mut product) = (a, b, 0_u8);
    while b != 0 {
        if b & 1 == 1 {
            product ^= a;
        }
        a = (a << 1) ^ (if a >> 7 == 1 { 0x1d } else { 0 });
        b >>= 1;
    }
    product
}

/// The generator 2 to this power.
pub(super) fn power(exponent: u64) -> u8 {
    (0..exponent.checked_rem(255).unwrap_or(0)).fold(1, |value, _| times(value, 2))
}

/// The inverse: the 254th power, because the group has 255 members. Zero has none and gives zero.
pub(super) fn inverse(value: u8) -> u8 {
    (0..253).fold(value, |product, _| times(product, value))
}

/// `into` plus `factor` times `from`.
pub(super) fn add_times(into: &mut [u8], factor: u8, from: &[u8]) {
    let table = table(factor);
    for (to, from) in into.iter_mut().zip(from) {
        *to ^= table.get(usize::from(*from)).copied().unwrap_or(0);
    }
}

/// `values` times `factor`.
pub(super) fn scale(values: &mut [u8], factor: u8) {
    let table = table(factor);
    for value in values {
        *value = table.get(usize::from(*value)).copied().unwrap_or(0);
    }
}

fn table(factor: u8) -> [u8; 256] {
    let mut table = [0_u8; 256];
    for (value, entry) in (0_u8..=255).zip(table.iter_mut()) {
        *entry = times(factor, value);
    }
    table
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_value_has_its_inverse() {
        for value in 1..=255 {
            assert_eq!(times(value, inverse(value)), 1, "{value}");
        }
        assert_eq!((power(0), power(1), power(8), power(255)), (1, 2, 0x1d, 1));
    }
}
