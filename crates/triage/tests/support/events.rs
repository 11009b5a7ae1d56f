//! Event logs of one chunk, written by us: just enough for one record of each kind.

/// A record: number, provider, event, fields of its data.
pub(crate) type Event<'a> = (u64, &'a str, u16, &'a [(&'a str, &'a str)]);

struct Chunk {
    raw: Vec<u8>,
}

impl Chunk {
    fn name(&mut self, name: &str) {
        // Written right where it is named.
        let at = u32::try_from(self.raw.len()).unwrap() + 4;
        self.raw.extend(at.to_le_bytes());
        self.raw.extend([0; 6]);
        self.raw.extend(u16::try_from(name.len()).unwrap().to_le_bytes());
        self.raw.extend(name.encode_utf16().flat_map(u16::to_le_bytes));
        self.raw.extend([0, 0]);
    }

    fn open(&mut self, name: &str, attribute: Option<(&str, &str)>) {
        self.raw.push(if attribute.is_some() { 0x41 } else { 0x01 });
        self.raw.extend([0xff, 0xff, 0, 0, 0, 0]);
        self.name(name);
        if let Some((name, value)) = attribute {
            self.raw.extend([0, 0, 0, 0, 0x06]);
            self.name(name);
            self.text(value);
        }
        self.raw.push(0x02);
    }

    fn text(&mut self, value: &str) {
        self.raw.extend([0x05, 0x01]);
        self.raw.extend(u16::try_from(value.len()).unwrap().to_le_bytes());
        self.raw.extend(value.encode_utf16().flat_map(u16::to_le_bytes));
    }

    fn close(&mut self) {
        self.raw.push(0x04);
    }

    fn record(&mut self, event: &Event<'_>, swallowed: Option<&Event<'_>>) {
        let start = self.raw.len();
        let (number, provider, id, fields) = *event;
        self.raw.extend(b"**\0\0\0\0\0\0");
        self.raw.extend(number.to_le_bytes());
        self.raw.extend((133_000_000_000_000_000_u64 + number).to_le_bytes());
        self.raw.extend([0x0f, 1, 1, 0]);
        self.open("Event", None);
        self.open("System", None);
        self.open("Provider", Some(("Name", provider)));
        self.close();
        self.open("EventID", None);
        self.text(&id.to_string());
        self.close();
        self.close();
        self.open("EventData", None);
        for (name, value) in fields {
            self.open("Data", Some(("Name", name)));
            self.text(value);
            self.close();
        }
        self.close();
        self.close();
        self.raw.push(0);
        while !self.raw.len().is_multiple_of(8) {
            self.raw.push(0);
        }
        if let Some(hidden) = swallowed {
            self.record(hidden, None);
        }
        self.raw.extend([0; 4]);
        let length = u32::try_from(self.raw.len() - start + 4).unwrap();
        self.raw.extend(length.to_le_bytes());
        self.raw[start + 4..start + 8].copy_from_slice(&length.to_le_bytes());
    }
}

/// A log with these records; the last of them can be hidden inside the one in front.
pub(crate) fn log(events: &[Event<'_>], hidden: Option<&Event<'_>>) -> Vec<u8> {
    let mut chunk = Chunk { raw: vec![0; 512] };
    chunk.raw[..8].copy_from_slice(b"ElfChnk\0");
    for (index, event) in events.iter().enumerate() {
        chunk.record(event, hidden.filter(|_| index + 1 == events.len()));
    }
    let end = u32::try_from(chunk.raw.len()).unwrap();
    chunk.raw[48..52].copy_from_slice(&end.to_le_bytes());
    chunk.raw.resize(64 << 10, 0);
    let mut file = vec![0; 4096];
    file[..8].copy_from_slice(b"ElfFile\0");
    file.extend(chunk.raw);
    file
}
