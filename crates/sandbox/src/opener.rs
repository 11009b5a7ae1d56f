//! Opens disks for the tools so that the descriptor itself refuses every device request.
//!
//! A descriptor for reading and no capability are not enough: the kernel's list of harmless SCSI
//! commands (`scsi_cmd_allowed`, drivers/scsi/scsi_ioctl.c) goes by the first byte, and there UNMAP
//! is READ SUB-CHANNEL of an optical drive. Measured on Linux 6.12: SG_IO UNMAP through a descriptor
//! opened for reading, without capabilities, discards data. Landlock decides about requests on a
//! device when it is *opened*, whoever uses the descriptor later; so disks are opened by a thread
//! whose domain gives no right to requests. Only this thread is in that domain.

use std::os::fd::OwnedFd;
use std::path::{Path, PathBuf};
use std::sync::mpsc::{Receiver, Sender, SyncSender, channel, sync_channel};

use landlock::{ABI, Access, AccessFs, Ruleset, RulesetAttr, RulesetError, RulesetStatus};
use rustix::fs::{Mode, OFlags, open};

/// The first interface that knows the right to device requests.
const WANTED: ABI = ABI::V5;

type Reply = rustix::io::Result<OwnedFd>;

/// The way to the thread.
#[derive(Debug)]
pub struct Opener(Sender<Asked>);

/// A device, how it is to be opened, and the way back.
type Asked = (PathBuf, OFlags, SyncSender<Reply>);

/// How a disk is opened to clone onto. EXCL: refused by the kernel while any of it is mounted or part of something.
pub const TARGET: OFlags = OFlags::RDWR.union(OFlags::EXCL).union(OFlags::CLOEXEC);

impl Opener {
    /// Starts the thread and waits until it is in its domain.
    ///
    /// # Errors
    /// In words, if the kernel does not enforce the domain.
    pub fn start() -> Result<Self, String> {
        let (ask, asked) = channel();
        let (tell, told) = sync_channel(1);
        std::thread::Builder::new()
            .name("opener".to_owned())
            .spawn(move || {
                let entered = enter();
                let go_on = entered.is_ok();
                if tell.send(entered).is_ok() && go_on {
                    serve(&asked);
                }
            })
            .map_err(|problem| format!("starting the opener: {problem}"))?;
        told.recv().map_err(|_| "the opener ended".to_owned())??;
        Ok(Self(ask))
    }

    /// Opens a device for reading.
    ///
    /// # Errors
    /// What the kernel says of the open; `EIO` if the thread is gone.
    pub fn open(&self, path: &Path) -> Reply {
        self.ask(path, OFlags::RDONLY | OFlags::CLOEXEC | OFlags::NONBLOCK)
    }

    /// Opens a device for reading and writing that nothing else uses.
    ///
    /// # Errors
    /// As [`Self::open`]; `EBUSY` while it is in use.
    pub fn open_target(&self, path: &Path) -> Reply {
        self.ask(path, TARGET)
    }

    fn ask(&self, path: &Path, flags: OFlags) -> Reply {
        let (tell, told) = sync_channel(1);
        let gone = rustix::io::Errno::IO;
        self.0.send((path.to_owned(), flags, tell)).map_err(|_| gone)?;
        told.recv().map_err(|_| gone)?
    }
}

fn serve(asked: &Receiver<Asked>) {
    for (path, flags, tell) in asked {
        // Whoever asked may have left meanwhile.
        let _left = tell.send(open(&path, flags, Mode::empty()));
    }
}

fn enter() -> Result<(), String> {
    match restrict() {
        Ok(RulesetStatus::FullyEnforced) => Ok(()),
        Ok(status) => Err(format!("the kernel enforces it {status:?}")),
        Err(problem) => Err(format!("entering the opener's domain: {problem}")),
    }
}

/// One right is handled, no rule gives it: every device opened from here on lacks it.
fn restrict() -> Result<RulesetStatus, RulesetError> {
    let right = AccessFs::from_all(WANTED) & AccessFs::IoctlDev;
    Ok(Ruleset::default().handle_access(right)?.create()?.restrict_self()?.ruleset)
}

#[cfg(test)]
mod tests {
    use super::*;

    /// The kernel vouches: the same request passes on an ordinary descriptor and fails on ours.
    /// Skipped, and said so, where the running kernel has no Landlock of that interface.
    #[test]
    fn the_descriptor_refuses_requests() {
        let opener = match Opener::start() {
            Ok(opener) => opener,
            Err(problem) => {
                eprintln!("skipped: {problem}");
                return;
            }
        };
        let ordinary =
            std::fs::File::open("/dev/tty0").or_else(|_| std::fs::File::open("/dev/null"));
        let not_ours = sys::block::size_bytes(ordinary.unwrap()).unwrap_err();
        let ours = opener.open(Path::new("/dev/null")).unwrap();
        assert_eq!(sys::block::size_bytes(&ours).unwrap_err(), rustix::io::Errno::ACCESS);
        assert_ne!(not_ours, rustix::io::Errno::ACCESS);
    }

    #[test]
    fn what_is_not_there_is_an_error() {
        if let Ok(opener) = Opener::start() {
            assert!(opener.open(Path::new("/dev/nonexistent")).is_err());
        }
    }
}
