//! What a drive answers about itself. The first byte chooses the bus; each answer is the next piece of the rest, its length
//! and the status in two bytes before it.
#![no_main]

use guard::{Disk, Reply};
use imaging::health::{changes, examine};

libfuzzer_sys::fuzz_target!(|data: &[u8]| {
    let Some((choice, mut rest)) = data.split_first() else { return };
    let (name, bus) = [("sda", "ata"), ("sda", "scsi"), ("sda", "usb"), ("nvme0n1", "nvme")][usize::from(choice % 4)];
    let counters = serde_json::json!({ "reads": 0, "sectors_read": 0, "writes": 0, "sectors_written": 0,
        "discards": 0, "sectors_discarded": 0, "flushes": 0 });
    let disk: Disk = serde_json::from_value(serde_json::json!({
        "name": name, "number": "8:0", "bus": bus, "model": "", "serial": "", "wwn": null, "revision": null,
        "size_bytes": 1 << 20, "logical_block_bytes": 512, "physical_block_bytes": 512, "removable": false,
        "rotational": true, "kernel_read_only": true, "lock": "locked", "exhibit_source": false,
        "partitions": [], "mounts": [], "problems": [], "counters_at_lock": counters, "counters": counters,
    }))
    .expect("a disk");
    let mut take = || {
        let found = examine(&disk, &mut |question| {
            let mut reply = Reply::none(question, "");
            reply.failure = None;
            if let [low, high, more @ ..] = rest {
                reply.status = u32::from(high >> 7) * 2;
                let length = usize::from(u16::from_le_bytes([*low, high & 0x0f])).min(more.len());
                let (answer, left) = more.split_at(length);
                reply.data = answer.to_vec();
                reply.sense = answer.to_vec();
                rest = left;
            }
            reply
        });
        for told in found.health.warnings() {
            assert!(!told.chars().any(char::is_control), "{told:?}");
        }
        found.health
    };
    let before = take();
    let _ = changes(&before, &take());
});
