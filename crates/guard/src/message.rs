//! What is said over the socket: one JSON packet each way, a descriptor beside it where one is due.

use serde::{Deserialize, Serialize};

use std::net::{Ipv4Addr, SocketAddr};
use std::str::FromStr;

use crate::{Disk, DiskName, Error, Mount, Question, Reply};

/// What a tool may ask.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(tag = "ask", rename_all = "kebab-case", deny_unknown_fields)]
pub enum Request {
    /// All disks and the safety layers.
    Status,
    /// A descriptor of this disk, opened for reading.
    Open {
        /// Which disk.
        disk: DiskName,
    },
    /// Notes that this disk is the source of an exhibit: from now on it cannot be unlocked.
    MarkSource {
        /// Which disk.
        disk: DiskName,
    },
    /// Makes one disk writable and mounts it.
    Unlock(Unlock),
    /// A descriptor for reading and writing of this disk, unlocked and not mounted, to clone onto.
    Target(Unlock),
    /// Unmounts a disk and locks it again.
    Lock {
        /// Which disk.
        disk: DiskName,
    },
    /// One question of the list to the drive itself.
    Ask {
        /// Which disk.
        disk: DiskName,
        /// What.
        question: Question,
    },
    /// Brings one network interface up.
    NetUp(NetUp),
    /// Takes one network interface down.
    NetDown {
        /// Which.
        interface: Interface,
    },
    /// A descriptor connected by TCP, while an interface is up.
    Connect {
        /// To where.
        to: SocketAddr,
    },
    /// Ends the session.
    Power {
        /// How.
        how: Power,
    },
}

/// The examiner's word that this very disk may be written to.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Unlock {
    /// Which disk.
    pub disk: DiskName,
    /// Its model, as typed.
    pub model: String,
    /// Its serial number, as typed.
    pub serial: String,
}

impl Unlock {
    /// Whether what was typed are model and serial number of this disk.
    ///
    /// # Errors
    /// A sentence that says which is not, without saying what it is.
    pub fn names(&self, disk: &Disk) -> Result<(), String> {
        for (what, typed, real) in
            [("model", &self.model, &disk.model), ("serial", &self.serial, &disk.serial)]
        {
            // A device that names none is asked for by the word.
            let real = if real.is_empty() { "none" } else { real.as_str() };
            if typed.trim() != real {
                return Err(format!("the {what} typed is not the {what} of {}", disk.name));
            }
        }
        Ok(())
    }
}

/// The examiner's word that this interface may take part in its network, under this address.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct NetUp {
    /// Which.
    pub interface: Interface,
    /// The address it gets.
    pub address: Ipv4Addr,
    /// How many bits of it name the network.
    pub prefix_bits: u8,
    /// Where everything else goes, if anywhere.
    pub gateway: Option<Ipv4Addr>,
}

/// The kernel's name of a network interface, one component of a path.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
#[serde(try_from = "DiskName", into = "DiskName")]
pub struct Interface(DiskName);

impl Interface {
    /// The name as text.
    #[must_use]
    pub fn as_str(&self) -> &str {
        self.0.as_str()
    }
}

impl TryFrom<DiskName> for Interface {
    type Error = Error;

    fn try_from(name: DiskName) -> Result<Self, Error> {
        // IFNAMSIZ, the closing zero included.
        if name.as_str().len() < 16 { Ok(Self(name)) } else { Err(Error::name(name.as_str())) }
    }
}

impl From<Interface> for DiskName {
    fn from(interface: Interface) -> Self {
        interface.0
    }
}

impl FromStr for Interface {
    type Err = Error;

    fn from_str(text: &str) -> Result<Self, Error> {
        Self::try_from(text.parse::<DiskName>()?)
    }
}

/// How to end the session.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum Power {
    /// Power off.
    Off,
    /// Restart.
    Restart,
}

/// Whether a safety layer is in force.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum LayerState {
    /// In force.
    Active,
    /// Could not be put in force; the detail says why.
    Failed,
    /// Taken out on purpose by a test image.
    KnockedOut,
}

/// One safety layer of the session.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Layer {
    /// Its name, as in the threat model.
    pub name: String,
    /// Whether it is in force.
    pub state: LayerState,
    /// Facts, such as the Landlock version.
    pub detail: String,
}

/// Everything the broker knows.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Status {
    /// True if a broker answered, false on a desk or live host.
    pub brokered: bool,
    /// Disks by name.
    pub disks: Vec<Disk>,
    /// Safety layers in force.
    pub layers: Vec<Layer>,
    /// Attempts the broker refused since start.
    pub refusals: u64,
    /// What went wrong since start, in words.
    pub problems: Vec<String>,
}

/// What the broker answers.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(tag = "answer", rename_all = "kebab-case")]
pub enum Answer {
    /// To [`Request::Status`].
    Status(Box<Status>),
    /// To [`Request::Open`]; the descriptor comes beside it.
    Opened(Box<Disk>),
    /// To [`Request::Unlock`].
    Unlocked {
        /// The disk now.
        disk: Box<Disk>,
        /// What was mounted.
        mounts: Vec<Mount>,
    },
    /// To [`Request::Lock`] and [`Request::MarkSource`].
    Done(Box<Disk>),
    /// To [`Request::Ask`]: what the drive answered.
    Told(Box<Reply>),
    /// To [`Request::NetUp`] and [`Request::NetDown`].
    NetDone,
    /// To [`Request::Connect`]; the descriptor comes beside it.
    Connected,
    /// To [`Request::Power`]: under way.
    Ending,
    /// No, and why.
    Refused {
        /// The reason, in words.
        reason: String,
    },
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_request_survives_the_wire_and_extras_do_not() {
        let request = Request::Unlock(Unlock {
            disk: "sdb".parse().unwrap(),
            model: "M".into(),
            serial: "S".into(),
        });
        let text = serde_json::to_string(&request).unwrap();
        assert_eq!(serde_json::from_str::<Request>(&text).unwrap(), request);
        assert!(serde_json::from_str::<Request>(r#"{"ask":"open","disk":"../x"}"#).is_err());
        assert!(serde_json::from_str::<Request>(r#"{"ask":"format","disk":"sda"}"#).is_err());
        let ask = r#"{"ask":"ask","disk":"sda","question":"ata-identify"}"#;
        assert!(serde_json::from_str::<Request>(ask).is_ok());
        for command in ["ata-set-max", "scsi-unmap", "85"] {
            assert!(
                serde_json::from_str::<Request>(&ask.replace("ata-identify", command)).is_err()
            );
        }
        assert!(
            serde_json::from_str::<Request>(r#"{"ask":"lock","disk":"sda","force":true}"#).is_err()
        );
    }
}
