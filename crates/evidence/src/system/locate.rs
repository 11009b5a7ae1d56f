//! From the name a system gives a device to the volume at hand.

use crate::fs::RawPath;
use crate::stack::{Origin, Stack, VolumeId};
use crate::system::fstab::Encrypted;

/// What a name led to.
pub(super) enum Located {
    /// One volume, and how it was told if that is less than its identity.
    Volume(VolumeId, Option<String>),
    /// No volume, or several: the reason.
    Not(String),
}

/// The volume `what` names, for a system whose root is on `root`.
pub(super) fn locate(
    stack: &Stack,
    root: VolumeId,
    what: &RawPath,
    crypttab: &[Encrypted],
) -> Located {
    let text = what.to_string();
    if let Some((tag, value)) = text.split_once('=') {
        return by_tag(stack, tag, value);
    }
    let Some(device) = text.strip_prefix("/dev/") else {
        return Located::Not(format!("{text} is no device"));
    };
    for (folder, tag) in [
        ("disk/by-uuid/", "UUID"),
        ("disk/by-label/", "LABEL"),
        ("disk/by-partuuid/", "PARTUUID"),
        ("disk/by-partlabel/", "PARTLABEL"),
    ] {
        if let Some(value) = device.strip_prefix(folder) {
            return by_tag(stack, tag, value);
        }
    }
    if let Some(name) = device.strip_prefix("mapper/") {
        if let Some(entry) = crypttab.iter().find(|entry| entry.name.to_string() == name) {
            return by_encrypted(stack, root, &entry.device, name);
        }
        return only(stack, &format!("logical volume {name}"), |id| {
            assembled(stack, id).is_some_and(|label| mapper_name(&label) == name)
        });
    }
    if let Some(name) = device.strip_prefix("md/").or_else(|| device.strip_prefix("md")) {
        return only(stack, &format!("array {name}"), |id| {
            assembled(stack, id).is_some_and(|label| label == format!("md/{name}"))
        });
    }
    if device.contains('/') {
        return only(stack, &format!("logical volume {device}"), |id| {
            assembled(stack, id).is_some_and(|label| label == device)
        });
    }
    by_kernel_name(stack, root, device)
}

fn by_tag(stack: &Stack, tag: &str, value: &str) -> Located {
    let same = |found: Option<&str>| found.is_some_and(|found| found.eq_ignore_ascii_case(value));
    let content = |id: VolumeId, test: &dyn Fn(&crate::probe::Content) -> bool| {
        stack.volume(id).is_some_and(|volume| volume.contents.first().is_some_and(test))
    };
    match tag {
        "UUID" => only(stack, &format!("volume with UUID {value}"), |id| {
            content(id, &|content| same(content.uuid.as_deref()))
        }),
        "LABEL" => only(stack, &format!("volume with label {value}"), |id| {
            content(id, &|content| content.label.as_deref() == Some(value))
        }),
        "PARTUUID" => only(stack, &format!("partition with id {value}"), |id| {
            stack.partition(id).is_some_and(|found| same(found.unique_id.as_deref()))
        }),
        "PARTLABEL" => only(stack, &format!("partition with label {value}"), |id| {
            stack.partition(id).is_some_and(|found| found.label.as_deref() == Some(value))
        }),
        _ => Located::Not(format!("{tag}= is no way to name a volume")),
    }
}

/// What an encrypted volume holds, once opened: the layer above it.
fn by_encrypted(stack: &Stack, root: VolumeId, device: &RawPath, name: &str) -> Located {
    let encrypted = match locate(stack, root, device, &[]) {
        Located::Volume(id, _) => id,
        not => return not,
    };
    let on = stack.address(encrypted);
    let opened = stack.volumes().find(
        |id| matches!(stack.origin(*id), Some(Origin::Unlocked { on: below, .. }) if *below == on),
    );
    match opened {
        Some(id) => Located::Volume(id, None),
        None => Located::Not(format!("{on} ({name}) is encrypted and no key opened it")),
    }
}

/// The label of a volume that was assembled.
fn assembled(stack: &Stack, id: VolumeId) -> Option<String> {
    matches!(stack.origin(id), Some(Origin::Assembled { .. })).then(|| stack.label(id))
}

/// The name device mapper gives to `vg/lv`: hyphens doubled, one between.
fn mapper_name(label: &str) -> String {
    let doubled: Vec<String> = label.split('/').map(|part| part.replace('-', "--")).collect();
    doubled.join("-")
}

/// `sda2`, `nvme0n1p2`: a name that may have meant another disk when the system ran; the root's disk is assumed.
fn by_kernel_name(stack: &Stack, root: VolumeId, device: &str) -> Located {
    let digits =
        device.len().saturating_sub(device.bytes().rev().take_while(u8::is_ascii_digit).count());
    let (disk, number) = device.split_at_checked(digits).unwrap_or((device, ""));
    let known = disk.starts_with("sd")
        || disk.starts_with("vd")
        || disk.starts_with("hd")
        || disk.starts_with("xvd")
        || disk.ends_with('p');
    let Some(number) = number.parse::<u32>().ok().filter(|_| known) else {
        return Located::Not(format!("/dev/{device} names no volume that can be told"));
    };
    let on = stack.disk_of(root).to_owned();
    match stack.find(&on, &number.to_string()) {
        Some(id) => {
            let text =
                format!("/dev/{device} is taken for partition {number} of the root's disk {on}");
            Located::Volume(id, Some(text))
        }
        None => Located::Not(format!("{on} has no partition {number} (for /dev/{device})")),
    }
}

/// The only volume that fits; an encrypted volume and what it holds never fit both, for their UUIDs differ.
fn only(stack: &Stack, what: &str, fits: impl Fn(VolumeId) -> bool) -> Located {
    let mut found: Vec<VolumeId> = stack.volumes().filter(|id| fits(*id)).collect();
    // The devices of one Btrfs share its UUID and open the same file system.
    let btrfs = |id: &VolumeId| {
        stack.volume(*id).is_some_and(|volume| {
            volume.contents.first().is_some_and(|c| c.kind == crate::probe::ContentKind::Btrfs)
        })
    };
    if found.len() > 1 && found.iter().all(btrfs) {
        found.truncate(1);
    }
    match found.as_slice() {
        [one] => Located::Volume(*one, None),
        [] => Located::Not(format!("no {what} is at hand")),
        several => {
            let names: Vec<String> = several.iter().map(|id| stack.address(*id)).collect();
            Located::Not(format!("{} volumes fit: {}", several.len(), names.join(", ")))
        }
    }
}
