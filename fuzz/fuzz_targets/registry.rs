//! A walk of a registry hive made of arbitrary bytes: keys, classes, values and their data.
#![no_main]

use evidence::registry::Hive;

libfuzzer_sys::fuzz_target!(|data: &[u8]| {
    let Ok(hive) = Hive::from_bytes(data.to_vec()) else { return };
    let Ok(root) = hive.root() else { return };
    let _ = root.walk(200, &mut |visit| {
        let _ = visit.key.class();
        for value in visit.key.values().map(|found| found.values).unwrap_or_default() {
            let _ = (value.data(), value.texts(), value.number());
        }
    });
    // The same bytes as a log of the hive: an arbitrary one, then the two halves.
    let log = |raw: &[u8]| ("LOG1".to_owned(), raw.to_vec());
    let half = data.split_at(data.len() / 2);
    let source = evidence::MemSource::new(data.to_vec());
    let _ = Hive::open_with_logs(source, &[log(half.0), log(half.1)]);
    let _ = hive.key("Microsoft\\Windows NT\\CurrentVersion");
});
