//! Device events of the kernel (`NETLINK_KOBJECT_UEVENT`), and the walk that finds what was there
//! before we listened.

use std::fs;
use std::io;
use std::os::fd::OwnedFd;
use std::path::Path;

use rustix::net::netlink::{KOBJECT_UEVENT, SocketAddrNetlink};
use rustix::net::{
    AddressFamily, RecvFlags, SocketFlags, SocketType, bind, recv, socket_with, sockopt,
};

/// What one event says, as far as we care.
#[derive(Debug, Default, Clone, PartialEq, Eq)]
pub(crate) struct Event {
    /// `add`, `remove`, `change`, …
    pub(crate) action: String,
    /// Such as `block`.
    pub(crate) subsystem: String,
    /// For block devices: `disk` or `partition`.
    pub(crate) kind: String,
    /// Name of the node, such as `sda`.
    pub(crate) name: String,
    /// What driver it wants.
    pub(crate) modalias: Option<String>,
}

/// Receives device events.
#[derive(Debug)]
pub(crate) struct Listener(pub(crate) OwnedFd);

impl Listener {
    /// Starts listening to the kernel's own group.
    pub(crate) fn open() -> io::Result<Self> {
        let socket = socket_with(
            AddressFamily::NETLINK,
            SocketType::DGRAM,
            SocketFlags::CLOEXEC | SocketFlags::NONBLOCK,
            Some(KOBJECT_UEVENT),
        )?;
        // A burst of hot-plugged disks must not overrun the queue.
        sockopt::set_socket_recv_buffer_size_force(&socket, 16 << 20)?;
        bind(&socket, &SocketAddrNetlink::new(0, 1))?;
        Ok(Self(socket))
    }

    /// The next waiting event, or `None` if there is none now.
    ///
    /// # Errors
    /// `ENOBUFS` if events were lost: the caller then walks the device tree again.
    pub(crate) fn next(&self) -> io::Result<Option<Event>> {
        let mut buffer = [0_u8; 16384];
        loop {
            match recv(&self.0, &mut buffer[..], RecvFlags::empty()) {
                Ok((_, length)) => {
                    let bytes = buffer.get(..length).unwrap_or_default();
                    if let Some(event) = parse(bytes) {
                        return Ok(Some(event));
                    }
                }
                Err(rustix::io::Errno::AGAIN) => return Ok(None),
                Err(rustix::io::Errno::INTR) => {}
                Err(problem) => return Err(problem.into()),
            }
        }
    }
}

/// Parses `action@path\0KEY=value\0…`; anything else (udev's own format) is `None`.
fn parse(bytes: &[u8]) -> Option<Event> {
    let mut parts = bytes.split(|byte| *byte == 0).map(String::from_utf8_lossy);
    if !parts.next()?.contains('@') {
        return None;
    }
    let mut event = Event::default();
    for part in parts {
        match part.split_once('=') {
            Some(("ACTION", value)) => event.action = value.to_owned(),
            Some(("SUBSYSTEM", value)) => event.subsystem = value.to_owned(),
            Some(("DEVTYPE", value)) => event.kind = value.to_owned(),
            Some(("DEVNAME", value)) => event.name = value.replace('/', "!"),
            Some(("MODALIAS", value)) => event.modalias = Some(value.to_owned()),
            _ => {}
        }
    }
    Some(event)
}

/// Collects the `modalias` of every device below `folder`; links are not followed and depth is
/// bounded, so a strange tree cannot hold us up.
pub(crate) fn modaliases(folder: &Path) -> Vec<String> {
    let mut found = Vec::new();
    collect(folder, 0, &mut found);
    found.sort();
    found.dedup();
    found
}

fn collect(folder: &Path, depth: usize, found: &mut Vec<String>) {
    let Ok(entries) = fs::read_dir(folder) else { return };
    for entry in entries.flatten() {
        let Ok(kind) = entry.file_type() else { continue };
        if kind.is_dir() && depth < 32 {
            collect(&entry.path(), depth.saturating_add(1), found);
        } else if kind.is_file()
            && entry.file_name() == "modalias"
            && let Ok(text) = fs::read_to_string(entry.path())
            && !text.trim().is_empty()
        {
            found.push(text.trim().to_owned());
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_disk_event() {
        let bytes = b"add@/devices/x/block/sda\0ACTION=add\0DEVPATH=/devices/x\0SUBSYSTEM=block\0\
                      DEVNAME=sda\0DEVTYPE=disk\0SEQNUM=7\0";
        let event = parse(bytes).unwrap();
        assert_eq!(event.action, "add");
        assert_eq!(event.subsystem, "block");
        assert_eq!(event.kind, "disk");
        assert_eq!(event.name, "sda");
        assert_eq!(event.modalias, None);
    }

    #[test]
    fn a_driver_event_and_foreign_formats() {
        let event = parse(b"add@/d\0ACTION=add\0MODALIAS=pci:v00008086d\0").unwrap();
        assert_eq!(event.modalias.as_deref(), Some("pci:v00008086d"));
        assert_eq!(parse(b"libudev\0\xfe\xed"), None);
        assert_eq!(parse(b""), None);
    }

    #[test]
    fn the_walk_finds_each_alias_once() {
        let root = tempfile::tempdir().unwrap();
        for name in ["a", "b/c", "b"] {
            fs::create_dir_all(root.path().join(name)).unwrap();
            fs::write(root.path().join(name).join("modalias"), "usb:x\n").unwrap();
        }
        assert_eq!(modaliases(root.path()), ["usb:x"]);
    }
}
