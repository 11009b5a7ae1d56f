//! What the two ends say: one kind byte, then fields of fixed width, texts with their length before them.
//!
//! Read from authenticated frames only, and still nothing is believed: every field is bounded, a message with anything
//! behind its last field is refused.

use crate::Error;

/// Most bytes of a file in one message: with all its overhead the frame stays below Noise's 65,535.
pub const DATA_BYTES: usize = 63 << 10;
/// Longest text of any field.
const TEXT_BYTES: usize = 8 << 10;
/// Longest name of a file.
const NAME_BYTES: usize = 200;

/// What ties the connections of one transfer together; random, chosen by the sender.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub struct TransferId(pub [u8; 16]);

impl TransferId {
    /// A new one.
    ///
    /// # Errors
    /// When the kernel gives no randomness.
    pub fn generate() -> Result<Self, Error> {
        let mut bytes = [0; 16];
        getrandom::fill(&mut bytes).map_err(|_| Error::Crypto)?;
        Ok(Self(bytes))
    }

    /// In hexadecimal.
    #[must_use]
    pub fn to_hex(self) -> String {
        self.0.iter().map(|byte| format!("{byte:02x}")).collect()
    }

    /// From hexadecimal.
    #[must_use]
    pub fn from_hex(text: &str) -> Option<Self> {
        let mut id = [0; 16];
        let (pairs, rest) = text.as_bytes().as_chunks::<2>();
        if pairs.len() != id.len() || !rest.is_empty() {
            return None;
        }
        for (byte, pair) in id.iter_mut().zip(pairs) {
            *byte = u8::from_str_radix(std::str::from_utf8(pair).ok()?, 16).ok()?;
        }
        Some(Self(id))
    }
}

/// How a connection begins, once both ends have proved themselves.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Hello {
    /// The transfer.
    pub transfer: TransferId,
    /// What is being sent, in the sender's words; JSON by agreement of the callers.
    pub what: String,
}

/// One thing said. The comment says which way it goes.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Message {
    /// To the receiver, first of all.
    Hello(Hello),
    /// To the sender: who receives.
    Welcome {
        /// In the receiver's words.
        receiver: String,
    },
    /// To the receiver: a file begins or goes on.
    Begin {
        /// Its name.
        name: String,
        /// Its size in bytes, if known.
        size_bytes: Option<u64>,
        /// The sender cannot go on behind this offset.
        from_bytes: u64,
    },
    /// To the sender: send from here on.
    At {
        /// What lies before it is on the receiver's medium.
        offset_bytes: u64,
    },
    /// To the receiver: the next bytes.
    Data {
        /// Their place in the file.
        offset_bytes: u64,
        /// At most [`DATA_BYTES`].
        bytes: Vec<u8>,
    },
    /// To the receiver: flush, and say so.
    Keep,
    /// To the sender: everything before this is on the medium.
    Kept {
        /// In bytes.
        offset_bytes: u64,
    },
    /// To the receiver: the file is whole; read it back.
    End {
        /// Its size in bytes.
        size_bytes: u64,
    },
    /// To the sender: still alive, reading back.
    Working {
        /// Bytes read so far.
        done_bytes: u64,
    },
    /// To the sender: what the medium gave.
    ReadBack {
        /// In bytes.
        size_bytes: u64,
        /// Of what was read.
        sha256: [u8; 32],
    },
    /// To the receiver: that is what was sent, the file may have its name.
    Publish {
        /// Of what was sent.
        sha256: [u8; 32],
    },
    /// To the sender: it has.
    Published,
    /// To the receiver: that was all.
    Finish,
    /// To the sender: how it was recorded.
    Finished {
        /// In the receiver's words.
        receipt: String,
    },
    /// To the receiver: heard.
    Bye,
    /// Either way: no, and why.
    Refused {
        /// For people.
        reason: String,
    },
}

/// Fields taken off the front of a message.
struct Fields<'a>(&'a [u8]);

impl<'a> Fields<'a> {
    fn bytes<const COUNT: usize>(&mut self) -> Result<[u8; COUNT], Error> {
        let (field, rest) = self
            .0
            .split_first_chunk::<COUNT>()
            .ok_or(Error::Protocol { what: "a message cut short" })?;
        self.0 = rest;
        Ok(*field)
    }

    fn number(&mut self) -> Result<u64, Error> {
        Ok(u64::from_le_bytes(self.bytes()?))
    }

    fn text(&mut self) -> Result<String, Error> {
        let length = usize::from(u16::from_le_bytes(self.bytes()?));
        let (text, rest) = self
            .0
            .split_at_checked(length)
            .filter(|(text, _)| text.len() <= TEXT_BYTES)
            .ok_or(Error::Protocol { what: "a text of wrong length" })?;
        self.0 = rest;
        String::from_utf8(text.to_vec())
            .map_err(|_| Error::Protocol { what: "a text not in UTF-8" })
    }

    fn all(&mut self) -> &'a [u8] {
        std::mem::take(&mut self.0)
    }
}

fn put_text(out: &mut Vec<u8>, text: &str) {
    let mut end = text.len().min(TEXT_BYTES);
    while !text.is_char_boundary(end) {
        end = end.saturating_sub(1);
    }
    let text = text.get(..end).unwrap_or_default();
    out.extend(u16::try_from(text.len()).unwrap_or(u16::MAX).to_le_bytes());
    out.extend(text.as_bytes());
}

impl Message {
    /// Writes it behind what is in `out`.
    pub fn put(&self, out: &mut Vec<u8>) {
        match self {
            Self::Hello(hello) => {
                out.push(1);
                out.extend(hello.transfer.0);
                put_text(out, &hello.what);
            }
            Self::Welcome { receiver } => {
                out.push(2);
                put_text(out, receiver);
            }
            Self::Begin { name, size_bytes, from_bytes } => {
                out.push(3);
                put_text(out, name);
                out.push(u8::from(size_bytes.is_some()));
                out.extend(size_bytes.unwrap_or(0).to_le_bytes());
                out.extend(from_bytes.to_le_bytes());
            }
            Self::At { offset_bytes } => put_number(out, 4, *offset_bytes),
            Self::Data { offset_bytes, bytes } => {
                put_number(out, 5, *offset_bytes);
                out.extend(bytes);
            }
            Self::Keep => out.push(6),
            Self::Kept { offset_bytes } => put_number(out, 7, *offset_bytes),
            Self::End { size_bytes } => put_number(out, 8, *size_bytes),
            Self::Working { done_bytes } => put_number(out, 9, *done_bytes),
            Self::ReadBack { size_bytes, sha256 } => {
                put_number(out, 10, *size_bytes);
                out.extend(sha256);
            }
            Self::Publish { sha256 } => {
                out.push(11);
                out.extend(sha256);
            }
            Self::Published => out.push(12),
            Self::Finish => out.push(13),
            Self::Finished { receipt } => {
                out.push(14);
                put_text(out, receipt);
            }
            Self::Bye => out.push(15),
            Self::Refused { reason } => {
                out.push(16);
                put_text(out, reason);
            }
        }
    }

    /// Reads one message, which has to fill `bytes`.
    ///
    /// # Errors
    /// When it is none of this protocol.
    pub fn parse(bytes: &[u8]) -> Result<Self, Error> {
        let mut fields = Fields(bytes);
        let [kind] = fields.bytes()?;
        let message = match kind {
            1 => Self::Hello(Hello { transfer: TransferId(fields.bytes()?), what: fields.text()? }),
            2 => Self::Welcome { receiver: fields.text()? },
            3 => {
                let name = fields.text()?;
                if !is_plain_name(&name) {
                    return Err(Error::Protocol { what: "a name no file may have here" });
                }
                let [is_known] = fields.bytes()?;
                let size_bytes = fields.number()?;
                let size_bytes = (is_known == 1).then_some(size_bytes);
                Self::Begin { name, size_bytes, from_bytes: fields.number()? }
            }
            4 => Self::At { offset_bytes: fields.number()? },
            5 => {
                let offset_bytes = fields.number()?;
                let bytes = fields.all();
                if bytes.len() > DATA_BYTES {
                    return Err(Error::Protocol { what: "more data than one message has" });
                }
                Self::Data { offset_bytes, bytes: bytes.to_vec() }
            }
            6 => Self::Keep,
            7 => Self::Kept { offset_bytes: fields.number()? },
            8 => Self::End { size_bytes: fields.number()? },
            9 => Self::Working { done_bytes: fields.number()? },
            10 => Self::ReadBack { size_bytes: fields.number()?, sha256: fields.bytes()? },
            11 => Self::Publish { sha256: fields.bytes()? },
            12 => Self::Published,
            13 => Self::Finish,
            14 => Self::Finished { receipt: fields.text()? },
            15 => Self::Bye,
            16 => Self::Refused { reason: fields.text()? },
            _ => return Err(Error::Protocol { what: "a message of unknown kind" }),
        };
        if fields.0.is_empty() {
            Ok(message)
        } else {
            Err(Error::Protocol { what: "a message with a tail" })
        }
    }
}

fn put_number(out: &mut Vec<u8>, kind: u8, number: u64) {
    out.push(kind);
    out.extend(number.to_le_bytes());
}

/// A name that means one file in one folder everywhere, and no file of the receiver's own. Sent names are made so by
/// the sender (`imaging::safe_name` makes one of anything); the receiver refuses what is not, and repairs nothing.
pub(crate) fn is_plain_name(name: &str) -> bool {
    let plain = |byte: u8| byte.is_ascii_alphanumeric() || b"_-+@,()=~#%. ".contains(&byte);
    (1..=NAME_BYTES).contains(&name.len())
        && name.bytes().all(plain)
        && !name.starts_with(['.', ' ', '-'])
        && !name.ends_with(['.', ' '])
        && !name.ends_with(crate::reception::PARTIAL)
        && name != crate::reception::STATE
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    fn every() -> Vec<Message> {
        vec![
            Message::Hello(Hello { transfer: TransferId([7; 16]), what: "{}".into() }),
            Message::Welcome { receiver: "ü".into() },
            Message::Begin { name: "image.raw".into(), size_bytes: Some(9), from_bytes: 0 },
            Message::Begin { name: "a".into(), size_bytes: None, from_bytes: u64::MAX },
            Message::At { offset_bytes: 3 },
            Message::Data { offset_bytes: 4, bytes: vec![1, 2, 3] },
            Message::Keep,
            Message::Kept { offset_bytes: 5 },
            Message::End { size_bytes: 6 },
            Message::Working { done_bytes: 7 },
            Message::ReadBack { size_bytes: 8, sha256: [9; 32] },
            Message::Publish { sha256: [10; 32] },
            Message::Published,
            Message::Finish,
            Message::Finished { receipt: String::new() },
            Message::Bye,
            Message::Refused { reason: "no".into() },
        ]
    }

    #[test]
    fn every_message_survives_and_no_part_of_one_passes_for_it() {
        for message in every() {
            let mut bytes = Vec::new();
            message.put(&mut bytes);
            assert_eq!(Message::parse(&bytes).unwrap(), message);
            if !matches!(message, Message::Data { .. }) {
                for end in 0..bytes.len() {
                    assert!(Message::parse(&bytes[..end]).is_err(), "{message:?} to {end}");
                }
                bytes.push(0);
                assert!(Message::parse(&bytes).is_err(), "{message:?} with a tail");
            }
        }
    }

    #[test]
    fn names_stay_in_their_folder() {
        for good in ["image.raw", "a", "%2E%2E", "001-sda (1).log"] {
            assert!(is_plain_name(good), "{good}");
        }
        let long = "x".repeat(201);
        for bad in [
            "",
            ".",
            "..",
            ".hidden",
            "a/b",
            "a\0",
            "a.partial",
            "-x",
            "x.",
            " x",
            "é",
            "receive.state",
            &long,
        ] {
            assert!(!is_plain_name(bad), "{bad}");
        }
    }

    #[test]
    fn texts_are_cut_between_letters() {
        let mut bytes = Vec::new();
        Message::Refused { reason: "é".repeat(TEXT_BYTES) }.put(&mut bytes);
        let Message::Refused { reason } = Message::parse(&bytes).unwrap() else { panic!("kind") };
        assert_eq!(reason, "é".repeat(TEXT_BYTES / 2));
        assert_eq!(
            TransferId::from_hex(&TransferId([0xab; 16]).to_hex()),
            Some(TransferId([0xab; 16]))
        );
        assert_eq!(TransferId::from_hex("zz"), None);
    }

    proptest! {
        #[test]
        fn no_bytes_make_it_panic(bytes in proptest::collection::vec(any::<u8>(), 0..300)) {
            if let Ok(message) = Message::parse(&bytes) {
                let mut again = Vec::new();
                message.put(&mut again);
                prop_assert_eq!(Message::parse(&again).unwrap(), message);
            }
        }
    }
}
