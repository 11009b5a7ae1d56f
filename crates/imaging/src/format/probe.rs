//! A quick look at a block: whether trying to compress it is worth the time.

/// Bytes looked at: four places of a kibibyte each.
const PLACES: usize = 4;
const PLACE_BYTES: usize = 1024;

/// For bytes at random the sum is near 69,600 (4096 + 4096·4095/256); text, programs and tables give several times that.
const RANDOM_BELOW: u32 = 74_000;

/// Whether the bytes look random: compressed, encrypted or noise. Wrong only about size, never about content.
pub(super) fn looks_random(block: &[u8]) -> bool {
    let distance = block.len() / PLACES;
    if distance < PLACE_BYTES {
        return false;
    }
    let mut counts = [0u32; 256];
    for place in block.chunks(distance).take(PLACES) {
        for byte in place.iter().take(PLACE_BYTES) {
            if let Some(count) = counts.get_mut(usize::from(*byte)) {
                *count = count.saturating_add(1);
            }
        }
    }
    let sum =
        counts.iter().fold(0u32, |sum, count| sum.saturating_add(count.saturating_mul(*count)));
    sum < RANDOM_BELOW
}
