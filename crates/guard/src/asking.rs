//! Asking a drive one question of the list, and its answer as it came.

use std::io;
use std::os::fd::AsFd;

use serde::{Deserialize, Serialize};
use sys::passthrough::{self, NvmeCommand};

use crate::question::{Command, Namespace, Question, permits};

/// How long a drive may take for one answer, in milliseconds. A drive that sleeps spins up in less.
pub const PATIENCE_MS: u32 = 15_000;

/// What a drive answered, as it came: bytes of a drive are hostile until somebody who knows how takes them apart.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Reply {
    /// What was asked.
    pub question: Question,
    /// The drive's status: of SCSI (2 is CHECK CONDITION) or NVMe. 0 is success.
    pub status: u32,
    /// The host adapter's status for SCSI; 0 is well, 3 is a timeout.
    pub host_status: u16,
    /// Why nothing was asked or no answer came, in the kernel's words.
    pub failure: Option<String>,
    /// The data.
    #[serde(with = "hex")]
    pub data: Vec<u8>,
    /// SCSI sense data.
    #[serde(with = "hex")]
    pub sense: Vec<u8>,
}

impl Reply {
    /// No answer, and why.
    #[must_use]
    pub fn none(question: Question, failure: &(impl ToString + ?Sized)) -> Self {
        let failure = Some(failure.to_string());
        let (data, sense) = (Vec::new(), Vec::new());
        Self { question, status: 0, host_status: 0, failure, data, sense }
    }
}

/// Asks the drive behind an open descriptor. Whatever comes of it stands in the reply.
pub fn ask(device: impl AsFd, question: Question) -> Reply {
    let command = question.command();
    // Judged once more by its bytes: a slip in the list of questions ends here.
    if !permits(&command) {
        return Reply::none(question, "the command is not on the list of harmless ones");
    }
    send(device, question, command).unwrap_or_else(|problem| Reply::none(question, &problem))
}

fn send(device: impl AsFd, question: Question, command: Command) -> io::Result<Reply> {
    match command {
        Command::Scsi { block, answer_bytes } => {
            let mut data = vec![0; answer_bytes];
            let end = passthrough::scsi_in(device, &block, &mut data, PATIENCE_MS)?;
            data.truncate(end.data_bytes);
            let (status, host_status, sense) = (u32::from(end.status), end.host_status, end.sense);
            Ok(Reply { question, status, host_status, failure: None, data, sense })
        }
        Command::Nvme { opcode, namespace, word_10, answer_bytes } => {
            let namespace = match namespace {
                Namespace::None => 0,
                Namespace::All => u32::MAX,
                Namespace::OfTheDisk => passthrough::nvme_namespace(&device)?,
            };
            let mut data = vec![0; answer_bytes];
            let command = NvmeCommand { opcode, namespace, word_10 };
            let status = passthrough::nvme_in(device, command, &mut data, PATIENCE_MS)?;
            if status != 0 {
                data.clear();
            }
            Ok(Reply { question, status, host_status: 0, failure: None, data, sense: Vec::new() })
        }
    }
}

/// Bytes as hexadecimal digits.
mod hex {
    use serde::de::Error as _;
    use serde::{Deserialize, Deserializer, Serializer};

    /// Longest answer taken, in digits.
    const LIMIT: usize = 2 * 8192;

    pub(super) fn serialize<S: Serializer>(bytes: &[u8], out: S) -> Result<S::Ok, S::Error> {
        let text: String = bytes.iter().map(|byte| format!("{byte:02x}")).collect();
        out.serialize_str(&text)
    }

    pub(super) fn deserialize<'de, D: Deserializer<'de>>(from: D) -> Result<Vec<u8>, D::Error> {
        let text = String::deserialize(from)?;
        if text.len() > LIMIT {
            return Err(D::Error::custom("too many hexadecimal digits"));
        }
        let (pairs, rest) = text.as_bytes().as_chunks::<2>();
        let digit =
            |one: u8| char::from(one).to_digit(16).and_then(|digit| u8::try_from(digit).ok());
        let bytes = pairs.iter().map(|[high, low]| Some((digit(*high)? << 4) | digit(*low)?));
        match bytes.collect::<Option<Vec<u8>>>() {
            Some(bytes) if rest.is_empty() => Ok(bytes),
            _ => Err(D::Error::custom("not pairs of hexadecimal digits")),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_reply_survives_the_wire() {
        let reply = Reply {
            question: Question::AtaIdentify,
            status: 2,
            host_status: 0,
            failure: None,
            data: vec![0, 0x7f, 0xff],
            sense: vec![0x72],
        };
        let text = serde_json::to_string(&reply).unwrap();
        assert!(text.contains("007fff"), "{text}");
        assert_eq!(serde_json::from_str::<Reply>(&text).unwrap(), reply);
        for wrong in ["0", "0g", "ä", "+1"] {
            let broken = text.replace("007fff", wrong);
            assert!(serde_json::from_str::<Reply>(&broken).is_err(), "{wrong}");
        }
    }

    /// The kernel vouches: what is no drive takes no question, and says why.
    #[test]
    fn what_is_no_drive_answers_nothing() {
        let file = std::fs::File::open("/dev/null").unwrap();
        for question in Question::ALL {
            let reply = ask(&file, question);
            assert!(reply.failure.is_some() && reply.data.is_empty(), "{reply:?}");
        }
    }
}
