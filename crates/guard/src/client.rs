//! The asking side: a broker if one listens, else direct opens for reading.

use std::fs::File;
use std::net::{SocketAddr, TcpStream};
use std::os::fd::OwnedFd;
use std::path::{Path, PathBuf};
use std::time::Duration;

use rustix::fs::{Mode, OFlags};
use rustix::net::{AddressFamily, SocketAddrUnix, SocketFlags, SocketType, connect, socket_with};

use crate::{
    Answer, Disk, DiskName, Error, Interface, LockState, Mount, NetUp, Power, Question, Reply,
    Request, SOCKET_PATH, Status, Unlock, channel, inventory,
};

/// A disk opened for reading.
#[derive(Debug)]
pub struct Opened {
    /// The descriptor, read-only, positioned at zero.
    pub file: File,
    /// What was known of the disk when it was opened.
    pub disk: Disk,
}

#[derive(Debug)]
enum Way {
    Broker(OwnedFd),
    Direct { sys: PathBuf, dev: PathBuf },
}

/// The way to the disks.
#[derive(Debug)]
pub struct Guard {
    way: Way,
}

impl Guard {
    /// Connects to the broker; without one (desk, live host) disks are opened directly.
    ///
    /// # Errors
    /// If a broker's socket is there but does not answer: falling back silently would be wrong.
    pub fn connect() -> Result<Self, Error> {
        Self::connect_at(Path::new(SOCKET_PATH))
    }

    fn connect_at(path: &Path) -> Result<Self, Error> {
        let direct = Way::Direct { sys: "/sys".into(), dev: "/dev".into() };
        if !path.exists() {
            return Ok(Self { way: direct });
        }
        let doing = || format!("connecting to the disk broker at {}", path.display());
        let socket =
            socket_with(AddressFamily::UNIX, SocketType::SEQPACKET, SocketFlags::CLOEXEC, None)
                .map_err(|source| Error::io(doing(), source))?;
        channel::make_room(&socket).map_err(|source| Error::io(doing(), source))?;
        let address = SocketAddrUnix::new(path).map_err(|source| Error::io(doing(), source))?;
        connect(&socket, &address).map_err(|source| Error::io(doing(), source))?;
        Ok(Self { way: Way::Broker(socket) })
    }

    /// True if a broker guards the disks.
    #[must_use]
    pub fn brokered(&self) -> bool {
        matches!(self.way, Way::Broker(_))
    }

    /// All disks and the safety layers.
    ///
    /// # Errors
    /// If the broker or `/sys` cannot be read.
    pub fn status(&self) -> Result<Status, Error> {
        match &self.way {
            Way::Broker(socket) => match ask(socket, &Request::Status)? {
                (Answer::Status(status), _) => Ok(*status),
                (other, _) => Err(unexpected(other)),
            },
            Way::Direct { sys, .. } => Ok(Status {
                brokered: false,
                disks: inventory::disks(sys)?,
                layers: Vec::new(),
                refusals: 0,
                problems: Vec::new(),
            }),
        }
    }

    /// One disk by name.
    ///
    /// # Errors
    /// As [`Guard::status`], and [`Error::NoDisk`].
    pub fn disk(&self, name: &DiskName) -> Result<Disk, Error> {
        self.status()?
            .disks
            .into_iter()
            .find(|disk| disk.name == *name)
            .ok_or_else(|| Error::NoDisk { name: name.to_string() })
    }

    /// Opens a whole disk for reading.
    ///
    /// # Errors
    /// [`Error::NoDisk`], the broker's refusal, or what the kernel says of the open.
    pub fn open(&self, name: &DiskName) -> Result<Opened, Error> {
        match &self.way {
            Way::Broker(socket) => match ask(socket, &Request::Open { disk: name.clone() })? {
                (Answer::Opened(disk), Some(descriptor)) => {
                    Ok(Opened { file: File::from(descriptor), disk: *disk })
                }
                (Answer::Opened(_), None) => {
                    Err(Error::Protocol { detail: "no descriptor came with the disk".into() })
                }
                (other, _) => Err(unexpected(other)),
            },
            Way::Direct { sys, dev } => {
                let disk = inventory::disk(sys, name.clone())
                    .ok_or_else(|| Error::NoDisk { name: name.to_string() })?;
                let path = dev.join(name.as_str().replace('!', "/"));
                let descriptor =
                    rustix::fs::open(&path, OFlags::RDONLY | OFlags::CLOEXEC, Mode::empty())
                        .map_err(|source| {
                            Error::io(format!("opening {} for reading", path.display()), source)
                        })?;
                Ok(Opened { file: File::from(descriptor), disk })
            }
        }
    }

    /// Notes that a disk is the source of an exhibit. Without a broker this does nothing.
    ///
    /// # Errors
    /// If the broker cannot be asked or knows no such disk.
    pub fn mark_source(&self, name: &DiskName) -> Result<(), Error> {
        let Way::Broker(socket) = &self.way else { return Ok(()) };
        match ask(socket, &Request::MarkSource { disk: name.clone() })? {
            (Answer::Done(_), _) => Ok(()),
            (other, _) => Err(unexpected(other)),
        }
    }

    /// Unlocks a disk for the examiner's own use and mounts what is on it.
    ///
    /// # Errors
    /// The broker's refusal with its reason, or [`Error::NoBroker`].
    pub fn unlock(&self, unlock: Unlock) -> Result<(Disk, Vec<Mount>), Error> {
        match ask(self.broker("unlocking a disk")?, &Request::Unlock(unlock))? {
            (Answer::Unlocked { disk, mounts }, _) => Ok((*disk, mounts)),
            (other, _) => Err(unexpected(other)),
        }
    }

    /// Opens a disk for reading and writing, to clone onto: by permit, and never one that anything uses. With a broker
    /// the disk is unlocked until [`Self::lock`].
    ///
    /// # Errors
    /// If model or serial number are not those of the disk, it is in use or evidence, or it cannot be opened.
    pub fn open_target(&self, unlock: Unlock) -> Result<Opened, Error> {
        let name = unlock.disk.clone();
        match &self.way {
            Way::Broker(socket) => match ask(socket, &Request::Target(unlock))? {
                (Answer::Opened(disk), Some(descriptor)) => {
                    Ok(Opened { file: File::from(descriptor), disk: *disk })
                }
                (other, _) => Err(unexpected(other)),
            },
            Way::Direct { sys, dev } => {
                let disk = inventory::disk(sys, name.clone())
                    .ok_or_else(|| Error::NoDisk { name: name.to_string() })?;
                unlock.names(&disk).map_err(|reason| Error::Refused { reason })?;
                let path = dev.join(name.as_str().replace('!', "/"));
                // EXCL: refused by the kernel while any of it is mounted or part of something.
                let flags = OFlags::RDWR | OFlags::EXCL | OFlags::CLOEXEC;
                let descriptor =
                    rustix::fs::open(&path, flags, Mode::empty()).map_err(|source| {
                        Error::io(format!("opening {} for writing", path.display()), source)
                    })?;
                Ok(Opened { file: File::from(descriptor), disk })
            }
        }
    }

    /// A disk by name, also one of a kind that no list of disks shows.
    ///
    /// # Errors
    /// If there is none, or the broker refuses.
    pub fn any_disk(&self, name: &DiskName) -> Result<Disk, Error> {
        match &self.way {
            Way::Broker(_) => self.disk(name),
            Way::Direct { sys, .. } => inventory::disk(sys, name.clone())
                .ok_or_else(|| Error::NoDisk { name: name.to_string() }),
        }
    }

    /// Asks the drive itself one question of the list; a drive that does not answer says so in the reply.
    ///
    /// # Errors
    /// [`Error::NoDisk`], the broker's refusal, or if the disk cannot be opened.
    pub fn ask(&self, name: &DiskName, question: Question) -> Result<Reply, Error> {
        match &self.way {
            Way::Broker(socket) => {
                match ask(socket, &Request::Ask { disk: name.clone(), question })? {
                    (Answer::Told(reply), _) => Ok(*reply),
                    (other, _) => Err(unexpected(other)),
                }
            }
            Way::Direct { dev, .. } => {
                let path = dev.join(name.as_str().replace('!', "/"));
                // NONBLOCK: a drive without a medium can be asked too.
                let flags = OFlags::RDONLY | OFlags::CLOEXEC | OFlags::NONBLOCK;
                let device = rustix::fs::open(&path, flags, Mode::empty()).map_err(|source| {
                    Error::io(format!("opening {} to ask it", path.display()), source)
                })?;
                Ok(crate::asking::ask(&device, question))
            }
        }
    }

    /// Unmounts a disk and locks it again.
    ///
    /// # Errors
    /// The broker's refusal with its reason, or [`Error::NoBroker`].
    pub fn lock(&self, name: &DiskName) -> Result<Disk, Error> {
        let request = Request::Lock { disk: name.clone() };
        match ask(self.broker("locking a disk")?, &request)? {
            (Answer::Done(disk), _) => Ok(*disk),
            (other, _) => Err(unexpected(other)),
        }
    }

    /// Brings one network interface up.
    ///
    /// # Errors
    /// [`Error::NoBroker`], or the broker's refusal with its reason.
    pub fn net_up(&self, asked: NetUp) -> Result<(), Error> {
        self.net("bringing up a network", &Request::NetUp(asked))
    }

    /// Takes one network interface down.
    ///
    /// # Errors
    /// As [`Self::net_up`].
    pub fn net_down(&self, interface: Interface) -> Result<(), Error> {
        self.net("taking down a network", &Request::NetDown { interface })
    }

    fn net(&self, what: &'static str, request: &Request) -> Result<(), Error> {
        match ask(self.broker(what)?, request)? {
            (Answer::NetDone, _) => Ok(()),
            (other, _) => Err(unexpected(other)),
        }
    }

    /// Connects by TCP: through the broker, whose tools cannot, or directly where there is none.
    ///
    /// # Errors
    /// The broker's refusal with its reason, or what the kernel says of the connection.
    pub fn connect_to(&self, to: SocketAddr, within: Duration) -> Result<TcpStream, Error> {
        let doing = || format!("connecting to {to}");
        match &self.way {
            Way::Broker(socket) => match ask(socket, &Request::Connect { to })? {
                (Answer::Connected, Some(descriptor)) => Ok(TcpStream::from(descriptor)),
                (other, _) => Err(unexpected(other)),
            },
            Way::Direct { .. } => {
                TcpStream::connect_timeout(&to, within).map_err(|source| Error::io(doing(), source))
            }
        }
    }

    /// Ends the session.
    ///
    /// # Errors
    /// [`Error::NoBroker`], or if the broker cannot be asked.
    pub fn power(&self, how: Power) -> Result<(), Error> {
        match ask(self.broker("ending the session")?, &Request::Power { how })? {
            (Answer::Ending, _) => Ok(()),
            (other, _) => Err(unexpected(other)),
        }
    }

    fn broker(&self, what: &'static str) -> Result<&OwnedFd, Error> {
        match &self.way {
            Way::Broker(socket) => Ok(socket),
            Way::Direct { .. } => Err(Error::NoBroker { what }),
        }
    }
}

fn ask(socket: &OwnedFd, request: &Request) -> Result<(Answer, Option<OwnedFd>), Error> {
    let bytes = serde_json::to_vec(request)
        .map_err(|problem| Error::Protocol { detail: problem.to_string() })?;
    channel::send(socket, &bytes, None)
        .map_err(|source| Error::io("sending to the disk broker", source))?;
    let (bytes, descriptor) = channel::receive(socket)
        .map_err(|source| Error::io("waiting for the disk broker", source))?;
    if bytes.is_empty() {
        return Err(Error::Protocol { detail: "it closed the connection".into() });
    }
    let answer = serde_json::from_slice(&bytes)
        .map_err(|problem| Error::Protocol { detail: problem.to_string() })?;
    Ok((answer, descriptor))
}

fn unexpected(answer: Answer) -> Error {
    match answer {
        Answer::Refused { reason } => Error::Refused { reason },
        other => Error::Protocol { detail: format!("{other:?}").chars().take(120).collect() },
    }
}

/// Whether a disk may be read at all: one whose lock failed is left alone.
impl Disk {
    /// True if the lock state allows handing out a descriptor for reading.
    #[must_use]
    pub fn readable(&self) -> bool {
        self.lock != LockState::Failed
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn without_a_broker_nothing_can_be_unlocked() {
        let guard = Guard::connect_at(Path::new("/nonexistent/guard.sock")).unwrap();
        assert!(!guard.brokered());
        let unlock =
            Unlock { disk: "sda".parse().unwrap(), model: String::new(), serial: String::new() };
        assert!(matches!(guard.unlock(unlock), Err(Error::NoBroker { .. })));
    }

    #[test]
    fn a_socket_that_does_not_answer_is_an_error_not_a_fallback() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("guard.sock");
        std::fs::write(&path, b"").unwrap();
        assert!(Guard::connect_at(&path).is_err());
    }
}
